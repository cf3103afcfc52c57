//! Every field of every result is in the book's page of file formats.

mod common;

use std::collections::BTreeSet;

use common::{folder, run, small};
use serde_json::Value;

/// Objects whose fields are names of files, programs or operators.
const FREE: [&str; 5] = [
    "data_sha256",
    "examples_sha256",
    "ranges_sha256",
    "versions",
    "seeds",
];

fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields_of) => {
            for (name, value) in fields_of {
                found.insert(name.clone());
                if !FREE.contains(&name.as_str()) {
                    fields(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        _ => {}
    }
}

#[test]
fn every_field_of_a_result_is_in_the_book() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    let images = "--data npz:data.npz --samples 12 --correct-only --quiet";
    let results = [
        (
            format!(
                "attack model.onnx {images} --certify --epsilon 0.1 --enough 0.01 --save-images i \
                 --smallest 2 -o a.npz"
            ),
            "a.json",
        ),
        (format!("certify model.onnx {images} -o c.npz"), "c.json"),
        (
            "transfer --examples a.npz --models model.onnx --noise 0.1 --correct-only --quiet -o t"
                .into(),
            "t/transfer.json",
        ),
        ("spectrum model.onnx --quiet -o s".into(), "s/spectrum.json"),
    ];
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/design/file-formats.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    let mut missing = BTreeSet::new();
    for (words, file) in results {
        let (exit, _, error) = run(dir, &words);
        assert_eq!(exit, 0, "{words}: {error}");
        let value = serde_json::from_slice(&std::fs::read(dir.join(file)).unwrap()).unwrap();
        let mut found = BTreeSet::new();
        fields(&value, &mut found);
        assert!(found.len() > 10, "{file}: {found:?}");
        let unsaid = found
            .into_iter()
            .filter(|field| !page.contains(&format!("`{field}`")));
        missing.extend(unsaid.map(|field| format!("{file}: {field}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
