# To be sourced from the project's root: builds the command; $target has it, and the environment that the tests use, made
# by its own test.
cargo build --release --locked --quiet
target="$(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')"
[ -x "$target/python/bin/python" ] || cargo test --quiet --locked -p blindspot-testing --test python > "$target/python.log"
