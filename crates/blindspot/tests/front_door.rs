//! The programs of the crate's page, written with the prelude alone.

use blindspot::prelude::*;
use blindspot_testing::{data_dir, skip};

/// A network file: one layer with a Softmax behind it.
fn write_network(path: &std::path::Path) {
    use blindspot::net::{Graph, Op, Operand, onnx, ops};
    let mut graph = Graph::new("image", &[784]).unwrap();
    let weight = graph.weight("weight", &[784, 10]).unwrap();
    let gemm = Op::Gemm(ops::Gemm { trans_b: false });
    let operands = [Operand::Value(graph.input()), Operand::Weight(weight)];
    let logits = graph.node("linear", gemm, &operands, "logits").unwrap();
    let softmax = Op::Softmax(ops::Softmax {
        axis: 0,
        log: false,
    });
    graph
        .node("softmax", softmax, &[Operand::Value(logits)], "p")
        .unwrap();
    let weights = (0..7840u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as f32 / 1e3);
    let network = Network::new(graph, vec![weights.collect()]).unwrap();
    std::fs::write(path, onnx::write(&network, &Default::default())).unwrap();
}

#[test]
fn the_program_of_the_page_runs() {
    if data_dir().is_none() || std::env::var_os("BLINDSPOT_DATA").is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    program().unwrap();
}

fn program() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("fc100.onnx");
    write_network(&file);
    let model = Model::open(&file)?; // softmax looked through, preprocessing inside
    let images = ImageSet::open("mnist:test")?.first(100);
    let found = Attack::sqp().untargeted().run(&model, &images)?;
    let radii = Certifier::new(&model)?.certify(&images)?; // one an image
    assert_eq!((found.len(), radii.len()), (100, 100));
    for (adv, certificate) in found.iter().zip(&radii) {
        assert!(adv.success && certificate.radius <= adv.l2);
    }
    Ok(())
}

#[test]
fn a_model_may_be_two_closures() -> Result<(), Box<dyn std::error::Error>> {
    let model = FnClassifier::new(
        &[2],
        2,
        |inputs: &[f32]| Ok(inputs.to_vec()),
        |_inputs: &[f32], output_gradients: &[f32]| Ok(output_gradients.to_vec()),
    );
    let values = vec![0.9, 0.1, 0.2, 0.6];
    let images = ImageSet::of_floats("two", [1, 1, 2], values, Some(vec![0, 1]), Vec::new())?;
    let found = Attack::sqp().untargeted().run(&model, &images)?;
    for (adv, distance) in found.iter().zip([0.8, 0.4]) {
        assert_eq!(adv.prediction, 1 - adv.label);
        assert!((adv.l2 - distance / 2f64.sqrt()).abs() < 1e-3, "{}", adv.l2);
    }
    Ok(())
}

/// What is verified is the file's own network: where that is gone, no other takes its place.
#[test]
fn a_model_whose_file_has_changed_is_not_attacked() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("linear.onnx");
    write_network(&file);
    let images = ImageSet::of_floats(
        "one",
        [1, 28, 28],
        vec![0.5; 784],
        Some(vec![0]),
        Vec::new(),
    )?;
    let attack = |model: &Model| Attack::sqp().untargeted().run(model, &images);
    let (changed, gone) = (Model::open(&file)?, Model::open(&file)?);
    let longer = [std::fs::read(&file)?, vec![0x2a, 0]].concat();
    std::fs::write(&file, longer)?;
    let refused = attack(&changed).unwrap_err().to_string();
    assert!(
        refused.contains("has changed since it was read"),
        "{refused}"
    );
    std::fs::remove_file(&file)?;
    let refused = attack(&gone).unwrap_err().to_string();
    assert!(refused.contains("linear.onnx"), "{refused}");
    Ok(())
}
