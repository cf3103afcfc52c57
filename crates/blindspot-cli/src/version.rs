//! What `--version` says: which program this is, and what of the processor it uses.

use std::sync::LazyLock;

/// The version, with the commit where it was built from the repository.
pub(crate) fn short() -> &'static str {
    static SHORT: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        match option_env!("BLINDSPOT_COMMIT") {
            Some(commit) => format!("{version} ({commit})"),
            None => version.to_owned(),
        }
    });
    &SHORT
}

/// The version, and the processor: speed depends on it, and so may the last bits of what is computed.
pub(crate) fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(|| {
        let features = features();
        let features = match &features[..] {
            [] => "no vector instructions that make a difference here".to_owned(),
            some => some.join(", "),
        };
        let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
        format!("{}\n{arch}, {os}: {features}", short())
    });
    &LONG
}

/// Instructions of this processor that kernels ask for.
fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(target_arch = "aarch64")]
    let known = [("neon", std::arch::is_aarch64_feature_detected!("neon"))];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let known: [(&str, bool); 0] = [];
    known
        .into_iter()
        .filter_map(|(name, there)| there.then_some(name))
        .collect()
}
