//! What a model is made of.

use blindspot_data::ErrorKind;
use blindspot_net::{Evaluator, Graph, Network, Op, Operand, onnx, ops};

use super::*;

/// The input, flattened, as logits, and a Softmax over them if `softmax` is true.
fn network(shape: &[usize], softmax: bool) -> Network<f32> {
    let mut graph = Graph::new("x", shape).unwrap();
    let flat = Op::Reshape(ops::Reshape {
        shape: vec![shape.iter().product()],
    });
    let operand = Operand::Value(graph.input());
    let logits = graph.node("flat", flat, &[operand], "logits").unwrap();
    if softmax {
        let softmax = Op::Softmax(ops::Softmax {
            axis: 0,
            log: false,
        });
        let operand = Operand::Value(logits);
        graph.node("softmax", softmax, &[operand], "p").unwrap();
    }
    Network::new(graph, Vec::new()).unwrap()
}

#[test]
fn a_model_looks_through_softmax_and_has_its_preprocessing_inside() {
    let options = Model::options().mean([0.5]).std([0.25]);
    let model = options.from_network(network(&[1, 2, 2], true)).unwrap();
    assert_eq!(model.answer(), Answer::Softmax);
    assert_eq!(model.image_shape(), Some([1, 2, 2]));
    let mut evaluator = Evaluator::new(&model);
    evaluator.input(1).copy_from_slice(&[0.0, 0.25, 0.5, 1.0]);
    assert_eq!(evaluator.forward(), [-2.0, -1.0, 0.0, 2.0]);
    let plain = Model::from_network(network(&[4], false)).unwrap();
    assert_eq!(
        (plain.answer(), plain.image_shape()),
        (Answer::Logits, None)
    );
}

#[test]
fn a_file_and_the_network_in_it_are_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let network = network(&[1, 2, 2], true);
    std::fs::write(&path, onnx::write(&network, &Default::default())).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = Model::open(&path).unwrap();
    let read = Model::options().read("bytes", bytes).unwrap();
    let memory = Model::from_network(network).unwrap();
    for other in [read, memory] {
        assert_eq!(file.sha256(), other.sha256());
        assert_eq!(file.network(), other.network());
        let exact = [&file, &other].map(|model| model.exact().unwrap().network);
        assert_eq!(exact[0].network(), exact[1].network());
    }
}

#[test]
fn what_is_no_model_is_an_error_that_names_the_file() {
    let missing = Model::open("no/such/file.onnx").unwrap_err();
    assert!(missing.to_string().contains("no/such/file.onnx"));
    let nonsense = Model::options().read("an export", *b"nonsense");
    assert!(nonsense.unwrap_err().to_string().contains("an export"));
    assert_eq!(missing.kind(), ErrorKind::Model);
    let network = network(&[4], false);
    let names = Model::options()
        .classes(["a".to_owned()])
        .from_network(network);
    assert_eq!(names.unwrap_err().kind(), ErrorKind::Usage);
}
