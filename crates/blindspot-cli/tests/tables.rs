//! Rows of tables: what is found is read back from its file and asked again in onnxruntime.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use blindspot_net::{Graph, Network, Op, Operand, onnx, ops};
use blindspot_testing::{Noise, python, run_python, skip};
use common::{blindspot, dense, folder, outcome, run};

/// income, age, children, region (north, south, east), owner.
const INPUTS: usize = 7;
const HIDDEN: usize = 16;
const ROWS: usize = 40;

const SCHEMA: &str = r#"
[income]
unit = "EUR"
range = [0, 200000]
scale = 10000

[age]
direction = "up"

[children]
direction = "none"

[region]
kind = "category"
categories = ["north", "south", "east"]
"#;

/// Writes `loans.csv` and a model of it, `loans.onnx`, with a scaler inside, as a pipeline of scikit-learn has it; and
/// `loans.toml`.
fn write(dir: &Path) {
    let mut noise = Noise::new(11);
    let mut uniform = move || f32::from(noise.byte()) / 255.0;
    let mut text = "income,age,children,region,owner,granted\n".to_owned();
    for row in 0..ROWS {
        let income = 20000.0 + 60000.0 * uniform() + 0.5;
        let (age, children) = ((20.0 + 50.0 * uniform()).round(), (3.0 * uniform()).round());
        let region = ["north", "south", "east"][row % 3];
        let owner = uniform().round();
        let score = (income - 50000.0) / 20000.0 + owner - 0.3 * children;
        let granted = if score > 0.0 { "granted" } else { "refused" };
        writeln!(text, "{income},{age},{children},{region},{owner},{granted}").unwrap();
    }
    std::fs::write(dir.join("loans.csv"), text).unwrap();
    std::fs::write(dir.join("loans.toml"), SCHEMA).unwrap();
    let mut noise = Noise::new(5);
    let mut numbers = |count: usize, size: f32| -> Vec<f32> {
        let number = |byte: u8| (f32::from(byte) / 127.5 - 1.0) * size;
        (0..count).map(|_| number(noise.byte())).collect()
    };
    let mut graph = Graph::new("x", &[INPUTS]).unwrap();
    let mut value = graph.input();
    for (name, op) in [("mean", ops::Binary::Sub), ("std", ops::Binary::Div)] {
        let weight = graph.weight(name, &[INPUTS]).unwrap();
        let operands = [Operand::Value(value), Operand::Weight(weight)];
        let scaled = format!("by {name}");
        value = graph
            .node(name, Op::Binary(op), &operands, &scaled)
            .unwrap();
    }
    let sums = dense(&mut graph, value, "sums", INPUTS, HIDDEN);
    let relu = Op::Unary(ops::Unary::Relu);
    let hidden = [Operand::Value(sums)];
    let hidden = graph.node("hidden", relu, &hidden, "hidden").unwrap();
    dense(&mut graph, hidden, "y", HIDDEN, 2);
    let weights = vec![
        vec![50000.0, 45.0, 1.5, 0.33, 0.33, 0.33, 0.5],
        vec![20000.0, 15.0, 1.0, 0.5, 0.5, 0.5, 0.5],
        numbers(INPUTS * HIDDEN, 0.6),
        numbers(HIDDEN, 0.2),
        numbers(HIDDEN * 2, 0.8),
        numbers(2, 0.2),
    ];
    let network = Network::new(graph, weights).unwrap();
    std::fs::write(
        dir.join("loans.onnx"),
        onnx::write(&network, &Default::default()),
    )
    .unwrap();
}

/// Reads FILE.changes.csv back and asks onnxruntime about each row.
const READ_BACK: &str = r#"
import csv, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
regions = ["north", "south", "east"]
names = {"granted": 0, "refused": 1}
rows = list(csv.DictReader(open(sys.argv[2])))
fooled = 0
for row in rows:
    def inputs(when):
        one_hot = [float(row["region_" + when] == region) for region in regions]
        numbers = [float(row[name + "_" + when]) for name in ("income", "age", "children")]
        return np.array([numbers + one_hot + [float(row["owner_" + when])]], np.float32)
    before, after = (int(session.run(None, {"x": inputs(when)})[0].argmax()) for when in ("before", "after"))
    assert before == names[row["answer_before"]], row
    assert after == names[row["answer_after"]], row
    x, y = inputs("before")[0], inputs("after")[0]
    assert y[0] <= 200000 and y[0] >= 0 and y[1] >= x[1] and y[2] == x[2], row
    assert (y[1:] == np.round(y[1:])).all() and y[3:6].sum() == 1 and y[6] in (0, 1), row
    if row["fooled"] == "yes":
        assert before != after, row
        ages = np.loadtxt(sys.argv[3], delimiter=",", skiprows=1, usecols=(1, 4))
        sizes = [abs(y[0] - x[0]) / 10000, abs(y[1] - x[1]) / ages[:, 0].std(),
                 float((x[3:6] != y[3:6]).any()), abs(y[6] - x[6]) / ages[:, 1].std()]
        assert abs(np.sqrt(np.square(sizes).sum()) - float(row["distance"])) < 1e-5 * float(row["distance"]), row
        fooled += 1
    else:
        assert (x == y).all(), row
print(len(rows), fooled)
"#;

#[test]
fn what_is_found_is_a_row_of_the_table_that_onnxruntime_answers_otherwise() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    write(dir);
    let run = |words: &str| {
        let mut command = blindspot(dir);
        command.env("BLINDSPOT_PYTHON", python().unwrap());
        outcome(command.args(words.split_whitespace()))
    };
    let words =
        "attack loans.onnx --data csv:loans.csv,granted --columns loans.toml --verify onnxruntime";
    let (exit, said, error) = run(&format!("{words} --out changes.npz"));
    assert_eq!(exit, 0, "{error}");
    assert!(said.contains("40 rows of csv:loans.csv,granted"), "{said}");
    assert!(said.contains("in the columns' scales"), "{said}");
    let sentences: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("row "))
        .collect();
    assert!(!sentences.is_empty(), "{said}");
    for sentence in &sentences {
        assert!(
            sentence.contains(" becomes ") && sentence.contains("unchanged"),
            "{sentence}"
        );
    }
    let path = |name: &str| dir.join(name).display().to_string();
    let files = ["loans.onnx", "changes.changes.csv", "loans.csv"].map(path);
    let counted = run_python(READ_BACK, files, "").unwrap();
    let counted: Vec<usize> = counted
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    assert!(counted[0] == ROWS && counted[1] >= 5, "{counted:?}");

    let record = std::fs::read_to_string(dir.join("changes.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let columns = record["options"]["columns"].as_array().unwrap();
    assert_eq!(columns.len(), 5);
    assert_eq!(columns[1]["direction"], "up");
    assert_eq!(columns[3]["categories"][2], "east");
    assert_eq!(
        record["ranges_sha256"]["columns"].as_str().unwrap().len(),
        64
    );
    let (_, schema, _) = run("schema attack");
    let schema = serde_json::from_str(&schema).unwrap();
    assert_eq!(common::schema::check(&schema, &record), Ok(()));

    // In parts, the same files come out.
    for shard in 0..2 {
        let (exit, _, error) = run(&format!("{words} --shard {shard}/2 --out parts"));
        assert_eq!(exit, 0, "{error}");
    }
    let (exit, _, error) = run("merge parts --out merged.npz");
    assert_eq!(exit, 0, "{error}");
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    assert_eq!(read("changes.npz"), read("merged.npz"));
    assert_eq!(read("changes.json"), read("merged.json"));
}

#[test]
fn what_a_table_has_is_shown_and_can_be_edited() {
    let folder = folder();
    let dir = folder.path();
    write(dir);
    let (exit, said, error) = run(dir, "data columns csv:loans.csv,granted --out found.toml");
    assert_eq!(exit, 0, "{error}");
    for line in [
        "children",
        "integer",
        "east, north, south",
        "Written: found.toml",
    ] {
        assert!(said.contains(line), "{said}");
    }
    // The same again is, an edited one is not.
    let words = "data columns csv:loans.csv,granted --out found.toml";
    assert_eq!(run(dir, words).0, 0);
    let found = std::fs::read_to_string(dir.join("found.toml")).unwrap();
    std::fs::write(dir.join("found.toml"), format!("# mine\n{found}")).unwrap();
    let (exit, _, error) = run(dir, words);
    assert_eq!(exit, 2, "{error}");
    assert!(error.contains("--overwrite"), "{error}");
    assert_eq!(run(dir, &format!("{words} --overwrite")).0, 0);
    let replaced = std::fs::read_to_string(dir.join("found.toml")).unwrap();
    assert_eq!(replaced, found);
    let attack = |columns: &str, out: &str| {
        let words = format!(
            "attack loans.onnx --data csv:loans.csv,granted --samples 6 --columns {columns} --norm l0 --out {out}.npz"
        );
        let (exit, said, error) = run(dir, &words);
        assert_eq!(exit, 0, "{error}");
        assert!(said.contains("columns changed"), "{said}");
        std::fs::read(dir.join(format!("{out}.npz"))).unwrap()
    };
    assert_eq!(attack("found", "a"), attack("found.toml", "b"));
}

#[test]
fn what_does_not_fit_is_said_with_its_place() {
    let folder = folder();
    let dir = folder.path();
    write(dir);
    let table = std::fs::read_to_string(dir.join("loans.csv")).unwrap();
    let with = |name: &str, line: usize, text: &str| {
        let mut lines: Vec<&str> = table.lines().collect();
        lines[line - 1] = text;
        std::fs::write(dir.join(name), lines.join("\n")).unwrap();
    };
    with("text.csv", 7, "much,30,1,north,1,granted");
    with("missing.csv", 9, "41000.5,,1,north,1,granted");
    with("unknown.csv", 4, "41000.5,30,1,west,1,granted");
    with("outside.csv", 5, "300000,30,1,north,1,granted");
    std::fs::write(dir.join("typo.toml"), "[incom]\nscale = 2\n").unwrap();
    std::fs::write(dir.join("key.toml"), "[income]\nscales = 2\n").unwrap();
    for (data, columns, code, says) in [
        (
            "text.csv",
            "loans.toml",
            3,
            "text.csv: line 7, column `income`: `much` is no finite number",
        ),
        (
            "missing.csv",
            "loans.toml",
            3,
            "line 9, column `age`: the value is missing",
        ),
        (
            "unknown.csv",
            "loans.toml",
            3,
            "line 4, column `region`: `west` is none of its categories",
        ),
        (
            "outside.csv",
            "loans.toml",
            3,
            "line 5, column `income`: 300000 lies outside of its range",
        ),
        ("loans.csv", "typo.toml", 3, "did you mean `income`?"),
        ("loans.csv", "key.toml", 3, "unknown field `scales`"),
        ("loans.csv", "none.toml", 3, "none.toml"),
    ] {
        let words =
            format!("attack loans.onnx --data csv:{data},granted --columns {columns} --out a.npz");
        let (exit, _, error) = run(dir, &words);
        assert_eq!(exit, code, "{words}: {error}");
        assert!(error.contains(says), "{words}: {error}");
    }
    for (words, code, says) in [
        (
            "--data csv:loans.csv --columns loans.toml",
            3,
            "make 9 values",
        ),
        (
            "--data npz:loans.npz --columns found",
            3,
            "columns are those of a table",
        ),
        ("--data loans.parquet", 2, "pandas.read_parquet"),
        (
            "--data csv:loans.csv,granted --columns found --mask m.npy",
            2,
            "--mask",
        ),
        (
            "--data csv:loans.csv,granted --columns found --method ddn",
            2,
            "use sqp",
        ),
    ] {
        let (exit, _, error) = run(dir, &format!("attack loans.onnx {words} --out a.npz"));
        assert_eq!(exit, code, "{words}: {error}");
        assert!(error.contains(says), "{words}: {error}");
    }
}
