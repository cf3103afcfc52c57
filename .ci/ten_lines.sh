#!/usr/bin/env bash
# The README's program in Rust as a project of its own whose only dependency is blindspot: .ci/ten_lines.sh FOLDER.
# The project is made in FOLDER and compiled; with --run it is optimised and run there, where its fc100.onnx is. A test of
# the library (front_door) runs the same program, in a build that is there already.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
cd "$1"
mkdir -p ten-lines/src
{
    echo 'fn main() -> Result<(), Box<dyn std::error::Error>> {'
    sed -n '/^```rust$/,/^```$/{//!p}' "$root/README.md"
    # One certificate an image is what the last line promises.
    echo '    assert_eq!(radii.len(), images.len());'
    echo '    Ok(())'
    echo '}'
} > ten-lines/src/main.rs
cat > ten-lines/Cargo.toml <<TOML
[package]
name = "ten-lines"
version = "0.0.0"
edition = "2024"

[dependencies]
blindspot = { path = "$root/crates/blindspot" }

[workspace]

$(sed -n '/^\[profile/,$p' "$root/Cargo.toml")
TOML
# The versions of the command's own build.
cp "$root/Cargo.lock" ten-lines/
# With the same profiles its dependencies are those that are built there.
export CARGO_TARGET_DIR="$root/target"
if [ "${2:-}" = --run ]; then
    cargo run --release --quiet --manifest-path ten-lines/Cargo.toml
else
    cargo check --quiet --manifest-path ten-lines/Cargo.toml
fi
