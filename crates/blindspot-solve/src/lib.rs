//! L-BFGS and box-constrained L-BFGS: functions, not networks.
