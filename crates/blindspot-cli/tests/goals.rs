//! Goals for the outputs of models that are no classifiers: what is found is asked again in onnxruntime.

mod common;

use std::path::Path;

use blindspot_net::{Graph, Network, Op, Operand, onnx, ops};
use blindspot_testing::{Noise, python, run_python, skip};
use common::{dense, folder, run};

const INPUTS: usize = 8;
const HIDDEN: usize = 12;
const OUTPUTS: usize = 3;
const COUNT: usize = 20;

fn numbers(noise: &mut Noise, count: usize, size: f32) -> Vec<f32> {
    (0..count)
        .map(|_| (f32::from(noise.byte()) / 127.5 - 1.0) * size)
        .collect()
}

fn weights(noise: &mut Noise) -> Vec<Vec<f32>> {
    vec![
        numbers(noise, INPUTS * HIDDEN, 1.0),
        numbers(noise, HIDDEN, 0.3),
        numbers(noise, HIDDEN * OUTPUTS, 1.0),
        numbers(noise, OUTPUTS, 0.3),
    ]
}

/// Writes a small network, the same with a Sigmoid at its end, another one of its shape, a formula of three outputs,
/// and inputs for them.
fn write(dir: &Path) {
    let mut noise = Noise::new(3);
    let own = weights(&mut noise);
    let other = weights(&mut Noise::new(4));
    for (name, weights, sigmoid) in [
        ("numbers.onnx", &own, false),
        ("labels.onnx", &own, true),
        ("other.onnx", &other, false),
    ] {
        let mut graph = Graph::new("x", &[INPUTS]).unwrap();
        let input = graph.input();
        let sums = dense(&mut graph, input, "sums", INPUTS, HIDDEN);
        let relu = Op::Unary(ops::Unary::Relu);
        let hidden = graph
            .node("hidden", relu, &[Operand::Value(sums)], "hidden")
            .unwrap();
        let last = dense(&mut graph, hidden, "y", HIDDEN, OUTPUTS);
        if sigmoid {
            let sigmoid = Op::Unary(ops::Unary::Sigmoid);
            graph
                .node("p", sigmoid, &[Operand::Value(last)], "p")
                .unwrap();
        }
        let network = Network::new(graph, weights.clone()).unwrap();
        std::fs::write(dir.join(name), onnx::write(&network, &Default::default())).unwrap();
    }
    // Twice the first output less the product of the others is above 0.4.
    let mut graph = Graph::new("y", &[OUTPUTS]).unwrap();
    let input = Operand::Value(graph.input());
    let one = |graph: &mut Graph, start: usize| {
        let axis = ops::SliceAxis {
            axis: 0,
            start,
            step: 1,
            length: 1,
        };
        let slice = Op::Slice(ops::Slice { axes: vec![axis] });
        let name = format!("y{start}");
        Operand::Value(graph.node(&name, slice, &[input], &name).unwrap())
    };
    let (a, b, c) = (one(&mut graph, 0), one(&mut graph, 1), one(&mut graph, 2));
    let product = Op::Binary(ops::Binary::Mul);
    let product = Operand::Value(graph.node("product", product, &[b, c], "product").unwrap());
    let two = Operand::Weight(graph.weight("two", &[1]).unwrap());
    let twice = Operand::Value(
        graph
            .node("twice", Op::Binary(ops::Binary::Mul), &[a, two], "twice")
            .unwrap(),
    );
    let less = Operand::Value(
        graph
            .node(
                "less",
                Op::Binary(ops::Binary::Sub),
                &[twice, product],
                "less",
            )
            .unwrap(),
    );
    let least = Operand::Weight(graph.weight("least", &[1]).unwrap());
    graph
        .node(
            "margin",
            Op::Binary(ops::Binary::Sub),
            &[less, least],
            "margin",
        )
        .unwrap();
    let formula = Network::new(graph, vec![vec![2.0], vec![0.4]]).unwrap();
    std::fs::write(
        dir.join("formula.onnx"),
        onnx::write(&formula, &Default::default()),
    )
    .unwrap();

    let inputs = numbers(&mut noise, COUNT * INPUTS, 0.5);
    let data = |sink: &mut dyn blindspot_data::files::Sink| {
        let mut npz = blindspot_data::numpy::NpzWriter::new(sink);
        npz.add(
            "x",
            &[COUNT as u64, INPUTS as u64],
            inputs.iter().map(|&x| Ok(x + 0.5)),
        )?;
        npz.finish()
    };
    blindspot_data::files::write_atomically(&dir.join("data.npz"), data).unwrap();
}

const CHECK: &str = "
import json, sys
import numpy as np, onnxruntime as ort
folder, name, model, goal, certified = sys.argv[1:]
found, record = np.load(f'{folder}/{name}.npz'), json.load(open(f'{folder}/{name}.json'))
session = ort.InferenceSession(f'{folder}/{model}')
y = lambda x: session.run(None, {'x': x.reshape(len(x), 8).astype(np.float32)})[0].astype(float)
before, after = y(found['original']), y(found['adversarial'])
assert np.allclose(found['outputs_before'], before, atol=1e-5)
assert np.allclose(found['outputs_after'], after, atol=1e-5)
word, _, rest = goal.partition(':')
number = [float(n) if n.replace('.', '', 1).isdigit() else n for n in rest.split(':')]
cosine = lambda a, b: (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
threshold = 0.5 if model == 'labels.onnx' else 0.0
on = lambda y: y > threshold
k = int(number[1]) if len(number) > 1 else 0
template = y(np.load(f'{folder}/data.npz')['x'][[k]]) if word in ('near', 'aligns') else None
reached = {
    'flips': lambda: (on(before) != on(after)).any(1) if not rest else on(before)[:, int(rest)] != on(after)[:, int(rest)],
    'labels': lambda: (on(after) == np.isin(np.arange(3), [] if rest == 'none' else [int(i) for i in rest.split(',')])).all(1),
    'moves': lambda: np.linalg.norm(after - before, axis=1) > number[0] if len(number) == 1 else abs(after - before)[:, k] > number[0],
    'rises': lambda: (after - before)[:, k] > number[0],
    'falls': lambda: (before - after)[:, k] > number[0],
    'enters': lambda: (after[:, k] > float(rest.split('..')[0])) & (after[:, k] < float(rest.split('..')[1].split(':')[0])),
    'turns': lambda: cosine(before, after) < number[0],
    'near': lambda: np.linalg.norm(after - template, axis=1) < number[0],
    'aligns': lambda: cosine(after, template) > number[0],
    'margin': lambda: 2 * after[:, 0] - after[:, 1] * after[:, 2] > 0.4,
}[word]()
success = found['success']
assert (reached[success]).all(), (goal, reached, success)
assert record['options']['goal'] == goal
assert record['summary']['fooled'] == found['fooled'].sum() and found['fooled'].sum() > 5, (goal, found['fooled'].sum())
delta = (found['adversarial'] - found['original']).reshape(20, -1).astype(float)
assert np.allclose(np.linalg.norm(delta, axis=1), found['l2'], rtol=1e-5)
assert found['adversarial'].min() >= 0 and found['adversarial'].max() <= 1
# No random change below a certificate reaches the goal.
if certified == 'True':
    assert (found['certificate'][success] <= found['l2'][success]).all()
    assert (found['certificate'] > 0).any(), goal
print('held')
";

#[test]
fn what_reaches_a_goal_reaches_it_in_onnxruntime() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    write(dir);
    for (at, (model, goal, certified)) in [
        ("labels.onnx", "flips", true),
        ("labels.onnx", "flips:1", true),
        ("labels.onnx", "labels:0,2", false),
        ("numbers.onnx", "labels:none", false),
        ("numbers.onnx", "moves:0.3", false),
        ("numbers.onnx", "moves:0.3:1", true),
        ("numbers.onnx", "rises:0.3:2", true),
        ("numbers.onnx", "falls:0.3", true),
        ("numbers.onnx", "enters:0.2..0.3:1", true),
        ("numbers.onnx", "turns:0.8", false),
        ("numbers.onnx", "near:0.4:3", false),
        ("numbers.onnx", "aligns:0.999:3", false),
        ("numbers.onnx", "margin:formula.onnx", false),
    ]
    .into_iter()
    .enumerate()
    {
        let certify = if certified { "--certify" } else { "" };
        let words = format!(
            "attack {model} --data npz:data.npz --goal {goal} {certify} -o {at}.npz --report {at}.html --verify onnxruntime"
        );
        let (exit, said, error) = run(dir, &words);
        // onnxruntime is asked where the test's Python has it at hand for the command, too.
        let (exit, said, error) = if error.contains("pip install onnxruntime") {
            run(dir, &words.replace("--verify onnxruntime", ""))
        } else {
            (exit, said, error)
        };
        assert_eq!(exit, 0, "{goal}: {error}");
        assert!(said.contains(&format!("goal {goal}")), "{said}");
        let name = at.to_string();
        let arguments = [
            dir.to_str().unwrap(),
            &name,
            model,
            goal,
            if certified { "True" } else { "False" },
        ];
        let held = run_python(CHECK, arguments, "");
        assert_eq!(
            held.unwrap_or_else(|why| panic!("{goal}: {why}")).trim(),
            "held"
        );
        let page = std::fs::read_to_string(dir.join(format!("{at}.html"))).unwrap();
        assert!(page.contains("inputs can be changed so that"), "{goal}");
    }
}

#[test]
fn a_goal_goes_through_shards_and_saved_images() {
    let folder = folder();
    let dir = folder.path();
    write(dir);
    let words = "attack numbers.onnx --data npz:data.npz --goal rises:0.3:2 --save-images i";
    let done = |words: &str| {
        let (exit, _, error) = run(dir, words);
        assert_eq!(exit, 0, "{words}: {error}");
    };
    done(&format!("{words} -o whole.npz"));
    for i in 0..2 {
        let words = words.replace(" --save-images i", " --save-images j");
        done(&format!("{words} --shard {i}/2 -o parts -q"));
    }
    done("merge parts -o merged.npz -q");
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    assert!(read("whole.npz") == read("merged.npz"));
}

/// How many images reach a goal, of a file of examples, on each of some models: as they are, and changed.
const TRANSFERRED: &str = "
import json, sys
import numpy as np, onnxruntime as ort
folder, name, goal, *models = sys.argv[1:]
found, record = np.load(f'{folder}/{name}.npz'), json.load(open(f'{folder}/{name}/transfer.json'))
word, _, rest = goal.partition(':')
for at, model in enumerate(models):
    session = ort.InferenceSession(f'{folder}/{model}')
    y = lambda x: session.run(None, {'x': x.reshape(len(x), 8).astype(np.float32)})[0].astype(float)
    before, after = y(found['original']), y(found['adversarial'])
    threshold = 0.5 if model == 'labels.onnx' else 0.0
    reached = {
        'flips': lambda y: ((before > threshold) != (y > threshold)).any(1),
        'moves': lambda y: np.linalg.norm(y - before, axis=1) > float(rest),
        'enters': lambda y: (y[:, 1] > 0.2) & (y[:, 1] < 0.3),
        'margin': lambda y: 2 * y[:, 0] - y[:, 1] * y[:, 2] > 0.4,
    }[word]
    for key, y in (('rates', after), ('clean', before)):
        rate = record[key][0][at]
        assert (rate['wrong'], rate['images']) == (reached(y).sum(), 20), (goal, model, key, rate, reached(y).sum())
assert record['rates'][0][0]['wrong'] > 5, goal
assert record['examples'][0]['goal'] == goal
print('held')
";

#[test]
fn other_models_are_judged_by_whether_their_own_outputs_reach_the_goal() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    write(dir);
    for (at, (models, goal)) in [
        (["labels.onnx", "other.onnx"], "flips"),
        (["numbers.onnx", "other.onnx"], "moves:0.3"),
        (["other.onnx", "numbers.onnx"], "enters:0.2..0.3:1"),
        (["numbers.onnx", "other.onnx"], "margin:formula.onnx"),
    ]
    .into_iter()
    .enumerate()
    {
        let (first, words) = (models[0], models.join(" "));
        let attack = format!("attack {first} --data npz:data.npz --goal {goal} -o {at}.npz -q");
        let transfer = format!(
            "transfer --examples {at}.npz --models {words} --amplify-by 2 --out {at} --report {at}.html"
        );
        for words in [attack, transfer] {
            let (exit, _, error) = run(dir, &words);
            assert_eq!(exit, 0, "{words}: {error}");
        }
        let name = at.to_string();
        let arguments = [dir.to_str().unwrap(), &name, goal, models[0], models[1]];
        let held = run_python(TRANSFERRED, arguments, "");
        assert_eq!(
            held.unwrap_or_else(|why| panic!("{goal}: {why}")).trim(),
            "held"
        );
        let table = std::fs::read_to_string(dir.join(format!("{at}/transfer.md"))).unwrap();
        assert!(table.contains("reaches the goal"), "{table}");
    }
}

#[test]
fn a_goal_that_other_models_cannot_be_judged_by_is_no_transfer() {
    let folder = folder();
    let dir = folder.path();
    write(dir);
    for (name, goal) in [
        ("near", "near:0.4:3"),
        ("rises", "rises:0.3"),
        ("flips", "flips"),
    ] {
        let words =
            format!("attack numbers.onnx --data npz:data.npz --goal {goal} -o {name}.npz -q");
        assert_eq!(run(dir, &words).0, 0);
    }
    let refused = |words: &str, code: i32, part: &str| {
        let (exit, _, error) = run(dir, &format!("transfer {words} --models other.onnx"));
        assert_eq!(exit, code, "{words}: {error}");
        assert!(error.contains(part), "{words}: {error}");
    };
    refused("--examples near.npz", 3, "attack each model");
    refused("--examples rises.npz flips.npz", 2, "one kind at a time");
    std::fs::remove_file(dir.join("rises.json")).unwrap();
    refused("--examples rises.npz", 3, "rises.json");
}

#[test]
fn goals_that_do_not_fit_end_with_a_sentence() {
    let folder = folder();
    let dir = folder.path();
    write(dir);
    for (goal, why, code) in [
        ("rises:0.3:7", "0 to 2", 2),
        ("near:0.3:70", "0 to 19", 2),
        ("flip", "use flips", 2),
        ("margin:missing.onnx", "missing.onnx", 4),
        ("margin:numbers.onnx", "gives one number", 2),
    ] {
        let words = format!("attack numbers.onnx --data npz:data.npz --goal {goal} -o a.npz");
        let (exit, _, error) = run(dir, &words);
        assert_eq!(exit, code, "{goal}: {error}");
        assert!(error.contains(why), "{goal}: {error}");
    }
    let (exit, _, error) = run(
        dir,
        "attack numbers.onnx --data npz:data.npz --goal rises:1 --target 1 -o a.npz",
    );
    assert_eq!(exit, 2);
    assert!(error.contains("--target"), "{error}");
}
