//! Every field of every result is in the book's page of file formats, and in the JSON schema that the
//! program prints, which the result is as.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use common::schema::{check, undescribed};
use common::{folder, run, small};
use serde_json::{Value, json};

/// Objects whose fields are names of files, programs or operators.
const FREE: [&str; 5] = [
    "data_sha256",
    "examples_sha256",
    "ranges_sha256",
    "versions",
    "seeds",
];

/// Commands whose results the book describes field by field; the others have their schemas alone.
const IN_THE_BOOK: [&str; 5] = ["attack", "certify", "spectrum", "transfer", "universal"];

/// A result.
struct Written {
    /// What its schema is called.
    command: &'static str,
    file: &'static str,
    content: Value,
}

/// A result of each command, with all that it can say.
static RESULTS: LazyLock<Vec<Written>> = LazyLock::new(|| {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    let images = "--data npz:data.npz --samples 12 --correct-only --quiet";
    let attack = format!(
        "attack model.onnx {images} --certify --epsilon 0.1 --enough 0.01 --save-images i \
         --smallest 2 -o a.npz"
    );
    let certify = format!("certify model.onnx {images} -o c.npz");
    let units = "units deep.onnx --data npz:data.npz --layer hidden2 --units 2 --directions 2 \
                 --components 1 --synthesize --top 3 --quiet -o u";
    let train = "train FC100-100-10 --data npz:data.npz --iterations 2 --quiet -o deep.onnx";
    let transfer = "transfer --examples a.npz --models model.onnx --noise 0.1 --correct-only \
                    --amplify-by 2 --quiet -o t";
    let universal =
        "universal model.onnx --data npz:data.npz --share 0.5 --models model.onnx --quiet -o u.npz";
    let figure5 =
        "reproduce figure5 --model model.onnx --data npz:data.npz --quick --quiet --out r";
    let goal = "attack model.onnx --data npz:data.npz --samples 4 --goal flips --quiet -o g.npz";
    for words in [
        &*attack, &*certify, transfer, train, units, universal, goal, figure5,
    ] {
        done(dir, words);
    }
    done(dir, "spectrum model.onnx --quiet -o s");
    for shard in ["0/2", "1/2"] {
        let part = certify.replace("c.npz", "parts");
        done(dir, &format!("{part} --shard {shard}"));
    }
    done(dir, "merge parts --quiet -o merged.npz");
    let read = |command, file| Written {
        command,
        file,
        content: serde_json::from_slice(&std::fs::read(dir.join(file)).unwrap()).unwrap(),
    };
    let printed = |command, words| Written {
        command,
        file: words,
        content: serde_json::from_str(&done(dir, words)).unwrap(),
    };
    std::fs::write(dir.join("none.onnx"), [0x3a, 0]).unwrap();
    vec![
        read("attack", "a.json"),
        read("certify", "c.json"),
        read("transfer", "t/transfer.json"),
        read("attack", "g.json"),
        read("universal", "u.json"),
        read("spectrum", "s/spectrum.json"),
        read("units", "u/units.json"),
        read("certify", "merged.json"),
        read("reproduce", "r/results.json"),
        printed("inspect", "inspect model.onnx --profile --json"),
        printed("inspect", "inspect none.onnx --json"),
        printed(
            "train",
            "train softmax3 --data npz:data.npz --harden --pool 10 --json -o n.onnx",
        ),
        printed(
            "train",
            "train quocnet --data npz:data.npz --stages 1 --field 3 --stride 1 --maps 4 \
             --passes 1 --json -o q.onnx",
        ),
        read("history", "q.history.json"),
    ]
});

/// Runs the command, which must succeed; gives what it printed.
fn done(dir: &Path, words: &str) -> String {
    let (exit, said, error) = run(dir, words);
    assert_eq!(exit, 0, "{words}: {error}");
    said
}

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
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/design/file-formats.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    let mut missing = BTreeSet::new();
    let in_the_book = RESULTS
        .iter()
        .filter(|result| IN_THE_BOOK.contains(&result.command));
    for Written { file, content, .. } in in_the_book {
        let mut found = BTreeSet::new();
        fields(content, &mut found);
        assert!(found.len() > 10, "{file}: {found:?}");
        let unsaid = found
            .into_iter()
            .filter(|field| !page.contains(&format!("`{field}`")));
        missing.extend(unsaid.map(|field| format!("{file}: {field}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The schema that the program prints for a command.
fn schema(command: &str) -> Value {
    let folder = folder();
    serde_json::from_str(&done(folder.path(), &format!("schema {command}"))).unwrap()
}

#[test]
fn every_result_is_as_its_schema_says() {
    for Written {
        command,
        file,
        content,
    } in RESULTS.iter()
    {
        check(&schema(command), content).unwrap_or_else(|why| panic!("{file}: {why}"));
    }
}

#[test]
fn schemas_say_in_words_what_every_field_is() {
    for command in [
        "attack",
        "certify",
        "history",
        "inspect",
        "reproduce",
        "spectrum",
        "train",
        "transfer",
        "units",
        "universal",
    ] {
        let schema = schema(command);
        let unsaid = undescribed(&schema);
        assert!(unsaid.is_empty(), "{command}: {unsaid:#?}");
        let text = schema.to_string();
        for mark in ["[`", "::", "None"] {
            assert!(
                !text.contains(mark),
                "{command}: `{mark}` is the program's own"
            );
        }
    }
}

/// A check that everything passes would be none.
#[test]
fn what_differs_from_its_schema_is_found() {
    let schema = schema("attack");
    let record = &RESULTS[0].content;
    for (change, says) in [
        (
            (|record| record["summary"]["fooled"] = json!("two")) as fn(&mut Value),
            "summary/fooled",
        ),
        (
            |record| record["summary"]["fooled"] = json!(-1),
            "summary/fooled",
        ),
        (
            |record| record["summary"]["fooled"] = Value::Null,
            "summary/fooled",
        ),
        (
            |record| drop(record["options"].as_object_mut().unwrap().remove("seed")),
            "seed",
        ),
        (
            |record| record["options"]["grouping"] = json!("line"),
            "options/grouping",
        ),
        (
            |record| record["preprocess"]["range"] = json!([0, 1, 2]),
            "preprocess/range",
        ),
        (|record| record["novelty"] = json!(1), "novelty"),
    ] {
        let mut record = record.clone();
        change(&mut record);
        let why = check(&schema, &record).unwrap_err();
        assert!(why.contains(says), "{says}: {why}");
    }
}
