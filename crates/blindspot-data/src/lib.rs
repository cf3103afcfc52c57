//! Image sets: where they come from, how they are checked, how they are split.

pub mod files;
