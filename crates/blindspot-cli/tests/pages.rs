//! Pages say what the files beside them say.

mod common;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blindspot_testing::{data_dir, skip};
use common::{folder, model, run};
use roxmltree::{Document, Node};
use serde_json::Value;

/// The text of all that an element holds.
fn text(node: Node<'_, '_>) -> String {
    let texts = node.descendants().filter(|node| node.is_text());
    texts.filter_map(|node| node.text()).collect()
}

fn of_class<'a>(document: &'a Document<'a>, class: &str) -> Vec<Node<'a, 'a>> {
    let nodes = document.descendants();
    nodes
        .filter(|node| node.attribute("class") == Some(class))
        .collect()
}

fn heading<'a>(document: &'a Document<'a>) -> String {
    text(
        document
            .descendants()
            .find(|node| node.has_tag_name("h1"))
            .unwrap(),
    )
}

/// A table that a page holds for downloading.
fn download(document: &Document<'_>, name: &str) -> String {
    let mut links = document.descendants();
    let link = links
        .find(|node| node.attribute("download") == Some(name))
        .unwrap();
    let (_, data) = link
        .attribute("href")
        .unwrap()
        .split_once("base64,")
        .unwrap();
    String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_page_of_an_attack_says_what_its_files_say() {
    if data_dir().is_none() {
        skip!("no MNIST; set BLINDSPOT_DATA");
    }
    let dir = folder();
    model(dir.path());
    let words = "attack model.onnx --samples 40 --target untargeted --certify --quiet --out run/a.npz --report pages";
    std::fs::create_dir(dir.path().join("run")).unwrap();
    let (exit, _, error) = run(dir.path(), words);
    assert_eq!(exit, 0, "{error}");
    let page = std::fs::read_to_string(dir.path().join("pages/index.html")).unwrap();
    let document = Document::parse(&page[page.find("<html").unwrap()..]).unwrap();
    let record = json(&dir.path().join("run/a.json"));
    let summary = |name: &str| record["summary"][name].as_u64().unwrap();
    let (fooled, searched) = (summary("fooled"), summary("searched"));
    let answer = heading(&document);
    assert!(
        answer.starts_with(&format!("{fooled} of {searched} images")),
        "{answer}"
    );

    // The three at the head: the smallest, the median and the largest norm of all.
    let cases = of_class(&document, "case");
    assert_eq!(cases.len(), 40);
    let norms = cases.iter().filter_map(|case| case.attribute("data-norm"));
    let mut norms: Vec<f64> = norms.filter_map(|norm| norm.parse().ok()).collect();
    norms.sort_by(f64::total_cmp);
    assert_eq!(norms.len() as u64, fooled);
    let triplets: Vec<String> = of_class(&document, "triplet")
        .into_iter()
        .map(text)
        .collect();
    assert_eq!(triplets.len(), 3);
    for (shown, norm) in triplets.iter().zip([
        norms[0],
        norms[(norms.len() - 1) / 2],
        norms[norms.len() - 1],
    ]) {
        let (_, norm_shown) = shown.split_once("L2 norm ").unwrap();
        let (norm_shown, _) = norm_shown.split_once(',').unwrap();
        let norm_shown: f64 = norm_shown.parse().unwrap();
        assert!((norm_shown - norm).abs() < 0.006 * norm, "{shown}: {norm}");
        assert!(shown.contains('%'), "confidences: {shown}");
    }

    // The numbers are the record's.
    let table = download(&document, "images.csv");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(rows.len(), 40);
    let l2: Vec<f64> = rows.iter().filter_map(|row| row[6].parse().ok()).collect();
    let mean = record["summary"]["distortion"]["l2_mean"].as_f64().unwrap();
    assert!((l2.iter().sum::<f64>() / l2.len() as f64 - mean).abs() < 1e-9 * mean);
    let right = rows.iter().filter(|row| row[2] == row[3]).count();
    assert_eq!(right as u64, summary("right"));

    // The curve falls from the clean accuracy to what is never fooled, and the certificates' stays below it.
    let curve = download(&document, "curve.csv");
    let shares: Vec<Vec<f64>> = curve
        .lines()
        .skip(2)
        .map(|line| {
            line.split(',')
                .map(|value| value.parse().unwrap())
                .collect()
        })
        .collect();
    assert_eq!(shares[0][1..], [right as f64 / 40.0; 2]);
    for pair in shares.windows(2) {
        assert!(pair[0][0] < pair[1][0] && pair[0][1] >= pair[1][1] && pair[0][2] >= pair[1][2]);
    }
    assert!(shares.iter().all(|row| row[2] <= row[1]));
    let last = &shares[shares.len() - 1];
    let left = right as u64 - fooled;
    assert!((last[1] - left as f64 / 40.0).abs() < 1e-12);

    assert!(
        page.contains("href=\"../run/a.npz\""),
        "the arrays are found from the page"
    );
    let code = document
        .descendants()
        .find(|node| node.has_tag_name("code"))
        .unwrap();
    assert_eq!(text(code), format!("blindspot {words}"));
}

#[test]
fn every_command_with_a_page_writes_one_that_is_xml() {
    if data_dir().is_none() {
        skip!("no MNIST; set BLINDSPOT_DATA");
    }
    let dir = folder();
    model(dir.path());
    for words in [
        "attack model.onnx --samples 6 --target 3 --quiet --out a.npz --report a.html",
        "certify model.onnx --samples 6 --quiet --out c.npz --report c.html",
        "transfer --examples a.npz --models model.onnx --noise 0.1 --quiet --report t.html",
        "spectrum model.onnx --quiet --out s --report s/page.html",
        "units model.onnx --layer hidden2 --units 4 --samples 50 --quiet --out u",
        "attack model.onnx --samples 6 --target 3 --quiet --shard 0/2 --out parts",
        "attack model.onnx --samples 6 --target 3 --quiet --shard 1/2 --out parts",
        "merge parts --quiet --out m.npz --report m.html",
    ] {
        let (exit, _, error) = run(dir.path(), words);
        assert_eq!(exit, 0, "{words}: {error}");
    }
    for page in [
        "a.html",
        "c.html",
        "t.html",
        "s/page.html",
        "u/units.html",
        "m.html",
    ] {
        let page = std::fs::read_to_string(dir.path().join(page)).unwrap();
        let document = Document::parse(&page[page.find("<html").unwrap()..]).unwrap();
        assert!(!heading(&document).is_empty());
        let sources = document
            .descendants()
            .filter_map(|node| node.attribute("src"));
        for source in sources {
            assert!(source.starts_with("data:"), "{source}");
        }
    }
}

#[test]
fn names_are_words_on_a_page_whatever_is_in_them() {
    let dir = folder();
    let name = "a<b>&\"c' --><script>alert(1)</script>".replace('/', "_");
    let images = dir.path().join("images");
    for class in [name.as_str(), "other"] {
        let folder = images.join(class);
        std::fs::create_dir_all(&folder).unwrap();
        let grey = if class == "other" { 200u8 } else { 40 };
        for i in 0..2 {
            let png = blindspot_data::png(&[grey + i; 16], [1, 4, 4]).unwrap();
            std::fs::write(folder.join(format!("{name}{i}.png")), png).unwrap();
        }
    }
    write_brightness(&dir.path().join("m.onnx"));
    let words =
        "attack m.onnx --data folder:images --target untargeted --out a.npz --report a.html";
    let (exit, _, error) = run(dir.path(), words);
    assert_eq!(exit, 0, "{error}");
    let page = std::fs::read_to_string(dir.path().join("a.html")).unwrap();
    let document = Document::parse(&page[page.find("<html").unwrap()..]).unwrap();
    assert_eq!(
        document
            .descendants()
            .filter(|node| node.has_tag_name("script"))
            .count(),
        1
    );
    let cases = of_class(&document, "case");
    assert!(
        cases
            .iter()
            .any(|case| case.attribute("data-label").unwrap().contains(&name))
    );
    assert!(
        cases
            .iter()
            .any(|case| text(*case).contains(&format!("{name}0.png")))
    );
}

/// A network that takes bright images of 4x4 for class 1.
fn write_brightness(path: &Path) {
    use blindspot_net::{Graph, Network, Op, Operand, onnx, ops};
    let mut graph = Graph::new("image", &[16]).unwrap();
    let weight = graph.weight("weight", &[16, 2]).unwrap();
    let bias = graph.weight("bias", &[2]).unwrap();
    let gemm = Op::Gemm(ops::Gemm { trans_b: false });
    let operands = [
        Operand::Value(graph.input()),
        Operand::Weight(weight),
        Operand::Weight(bias),
    ];
    graph.node("linear", gemm, &operands, "logits").unwrap();
    let weights = (0..32)
        .map(|i| if i % 2 == 0 { -1.0 } else { 1.0 })
        .collect();
    let network = Network::new(graph, vec![weights, vec![8.0, -8.0]]).unwrap();
    std::fs::write(path, onnx::write(&network, &Default::default())).unwrap();
}
