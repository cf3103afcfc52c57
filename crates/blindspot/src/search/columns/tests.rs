//! Rows of tables against closed forms and against brute force.

use blindspot_data::{Columns, Direction, Schema, table_in_memory};
use blindspot_model::Model;
use blindspot_model::inputs::InMemory;
use blindspot_net::{Evaluator, Graph, Network, Op, Operand, ops};
use blindspot_paper::train::Recipe;
use blindspot_run::monitor::Unwatched;
use blindspot_run::random::Stream;

use super::*;
use crate::certify::ExampleCertifier;
use crate::search::{Attack, Target, search};

/// Outputs 0 and `weights · x + bias`.
fn linear(weights: &[f64], bias: f64) -> Network<f32> {
    let mut graph = Graph::new("x", &[weights.len()]).unwrap();
    let weight = graph.weight("weight", &[weights.len(), 2]).unwrap();
    let offset = graph.weight("bias", &[2]).unwrap();
    let operands = [
        Operand::Value(graph.input()),
        Operand::Weight(weight),
        Operand::Weight(offset),
    ];
    let gemm = Op::Gemm(ops::Gemm { trans_b: false });
    graph.node("y", gemm, &operands, "y").unwrap();
    let columns = weights.iter().flat_map(|&w| [0.0, w as f32]);
    Network::new(graph, vec![columns.collect(), vec![0.0, bias as f32]]).unwrap()
}

/// The columns of a table of these lines, as a schema describes them, and its rows.
fn table(text: &str, schema: &str) -> (Columns, Vec<Vec<f32>>) {
    let set = table_in_memory(text.as_bytes(), &Schema::parse(schema).unwrap()).unwrap();
    let rows = (0..set.len()).map(|row| {
        let mut values = vec![0.0; set.image_len()];
        set.read_image(row, &mut values).unwrap();
        values
    });
    (set.columns().unwrap().clone(), rows.collect())
}

/// The certified radius of a row with its class, as the options of a search say.
fn certified(network: &Network<f32>, attack: &Attack, (row, label): (&[f32], usize)) -> f64 {
    let model = Model::from_network(network.clone()).unwrap();
    let options = attack.options(&model);
    let certifier = ExampleCertifier::new(&model, &options).unwrap();
    certifier.own(row, label).unwrap()
}

fn answer(network: &Network<f32>, row: &[f32]) -> usize {
    let mut evaluator = Evaluator::new(network);
    evaluator.input(1).copy_from_slice(row);
    blindspot_net::argmax(evaluator.forward())
}

/// The least norm of a change z within [lower, upper] with `normal · z >= offset` above 0, by bisection of what a
/// norm reaches at most; None where nothing does.
fn least(norm: Norm, normal: &[f64], offset: f64, limits: &[[f64; 2]]) -> Option<f64> {
    // How far each value can go in its good direction.
    let room = |i: usize| {
        if normal[i] > 0.0 {
            limits[i][1]
        } else {
            -limits[i][0]
        }
    };
    let gain = |i: usize| normal[i].abs();
    let all: f64 = (0..normal.len()).map(|i| gain(i) * room(i)).sum();
    if all < offset {
        return None;
    }
    let reached = |size: f64| -> f64 {
        match norm {
            Norm::Linf => (0..normal.len()).map(|i| gain(i) * room(i).min(size)).sum(),
            // The size of the multiplier.
            _ => (0..normal.len())
                .map(|i| gain(i) * room(i).min(size * gain(i)))
                .sum(),
        }
    };
    if norm == Norm::L1 || norm == Norm::L0 {
        let mut order: Vec<usize> = (0..normal.len()).collect();
        let key = |i: usize| {
            if norm == Norm::L1 {
                gain(i)
            } else {
                gain(i) * room(i)
            }
        };
        order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
        let (mut left, mut size) = (offset, 0.0);
        for i in order {
            if left <= 0.0 {
                break;
            }
            let step = room(i).min(left / gain(i));
            size += if norm == Norm::L1 { step } else { 1.0 };
            left -= gain(i) * if norm == Norm::L1 { step } else { room(i) };
        }
        return Some(size);
    }
    let (mut low, mut high) = (0.0, 1e9);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if reached(middle) < offset {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(match norm {
        Norm::L2 => {
            let square = |i: usize| room(i).min(high * gain(i)).powi(2);
            (0..normal.len()).map(square).sum::<f64>().sqrt()
        }
        _ => high,
    })
}

#[test]
fn on_linear_models_distances_in_the_columns_scales_are_the_exact_ones() {
    let text = "income,age,debt,score,tenure\n41200.5,30,1200.5,0.25,3.5\n18000.25,61,0.5,0.75,0.5\n\
                99000.5,45,52000.25,0.5,20.5\n";
    let schema = "[income]\nrange = [0, 200000]\nscale = 5000\ndirection = \"up\"\n\
                  [age]\nkind = \"number\"\ndirection = \"none\"\n\
                  [debt]\nrange = [0, 60000]\nscale = 1000\ndirection = \"down\"\n\
                  [score]\nrange = [0, 1]\nscale = 0.1\n[tenure]\nrange = [0, 40]\n";
    let (columns, rows) = table(text, schema);
    let (mut found, mut unreachable) = (0, 0);
    for case in 0..40 {
        let mut stream = Stream::new(9, "columns", case);
        let scales: Vec<f64> = columns.iter().map(|column| column.scale).collect();
        let weights: Vec<f64> = scales.iter().map(|scale| stream.normal() / scale).collect();
        let bias = stream.normal();
        let network = linear(&weights, bias);
        for row in &rows {
            // The model's own weights, in double precision.
            let value = |row: &[f32]| -> f64 {
                let terms = weights.iter().zip(row);
                terms
                    .map(|(&w, &x)| f64::from(w as f32) * f64::from(x))
                    .sum::<f64>()
                    + f64::from(bias as f32)
            };
            let lead = value(row);
            let label = usize::from(lead > 0.0);
            let sign = if lead > 0.0 { -1.0 } else { 1.0 };
            let (mut normal, mut limits) = (Vec::new(), Vec::new());
            for (column, &w) in columns.iter().zip(&weights) {
                let from = f64::from(row[column.inputs[0]]);
                let [lower, upper] = column
                    .range()
                    .map(|end| (f64::from(end) - from) / column.scale);
                normal.push(sign * w * column.scale);
                limits.push(match column.direction {
                    Direction::Any => [lower, upper],
                    Direction::Up => [0.0, upper],
                    Direction::Down => [lower, 0.0],
                    Direction::None => [0.0, 0.0],
                });
            }
            for norm in [Norm::L2, Norm::Linf, Norm::L1, Norm::L0] {
                let attack = &Attack::sqp()
                    .columns(columns.clone())
                    .untargeted()
                    .norm(norm);
                let inputs = InMemory::new(row.clone(), row.len());
                let example = attack
                    .run_on(&network, &inputs, &[label])
                    .unwrap()
                    .remove(0);
                let Some(exact) = least(norm, &normal, lead.abs(), &limits) else {
                    unreachable += 1;
                    assert!(!example.success, "{case} {norm}");
                    continue;
                };
                let slope = normal.iter().fold(0.0, |most: f64, n| most.max(n.abs()));
                // What single precision can tell.
                let resolution = 1e-5 * lead.abs().max(1.0) / slope;
                let size = example.norm(norm);
                if !example.success {
                    // At the very end of what can be reached.
                    let beyond = least(norm, &normal, lead.abs() * 1.0001 + 1e-4, &limits);
                    assert!(beyond.is_none(), "{case} {norm}: nothing, {exact}");
                    continue;
                }
                found += 1;
                assert!(
                    size <= exact * (1.0 + 1e-4) + resolution,
                    "{case} {norm}: {size}, {exact}"
                );
                assert!(
                    size >= exact * (1.0 - 1e-4) - resolution,
                    "{case} {norm}: {size}, {exact}"
                );
                assert_eq!(answer(&network, &example.adversarial), 1 - label);
                // A certificate leaves out what rounding can undo: of a sum of products of all values, up to the ends
                // of their ranges. Where most columns are at their ends little of the lead is far.
                let products = columns.iter().zip(&weights).map(|(column, w)| {
                    let ends = column.range().map(|end| f64::from(end.abs()));
                    w.abs() * ends[0].max(ends[1])
                });
                let rounded = 16.0 * f64::from(f32::EPSILON) * products.sum::<f64>();
                let nearest = least(norm, &normal, lead.abs() - rounded, &limits).unwrap_or(0.0);
                let radius = certified(&network, attack, (row, label));
                assert!(
                    radius <= exact * (1.0 + 1e-6) && radius >= nearest * (1.0 - 1e-4),
                    "{case} {norm}: certified {radius}, {nearest} to {exact}"
                );
                for (column, limits) in columns.iter().zip(&limits) {
                    let input = column.inputs[0];
                    let moved = f64::from(example.adversarial[input]) - f64::from(row[input]);
                    let [lower, upper] = limits.map(|limit| limit * column.scale);
                    let slack = 1e-6 * column.scale;
                    assert!(
                        (lower - slack..=upper + slack).contains(&moved),
                        "{}",
                        column.name
                    );
                }
                assert_eq!(example.adversarial[1], row[1], "age is immutable");
            }
        }
    }
    assert!(found > 150 && unreachable > 10, "{found} {unreachable}");
}

/// All rows that have whole numbers and categories within their columns, each other value as in `row`.
fn lattice_rows(columns: &Columns, row: &[f32]) -> Vec<Vec<f32>> {
    let mut rows = vec![row.to_vec()];
    for column in columns {
        let values: Vec<Vec<f32>> = match &column.kind {
            ColumnKind::Number { .. } => continue,
            ColumnKind::Integer { .. } => {
                let [lower, upper] =
                    limits(column.range(), column.direction, row[column.inputs[0]]);
                (lower as i32..=upper as i32)
                    .map(|value| vec![value as f32])
                    .collect()
            }
            ColumnKind::Category { categories } => (0..categories.len())
                .map(|chosen| {
                    let one = |place: usize| if place == chosen { 1.0 } else { 0.0 };
                    (0..categories.len()).map(one).collect()
                })
                .collect(),
        };
        let with = |row: &Vec<f32>, values: &Vec<f32>| {
            let mut row = row.clone();
            for (&input, &value) in column.inputs.iter().zip(values) {
                row[input] = value;
            }
            row
        };
        rows = rows
            .iter()
            .flat_map(|row| values.iter().map(move |values| with(row, values)))
            .collect();
    }
    rows
}

/// Whether a row is one of a table.
fn is_feasible(columns: &Columns, from: &[f32], to: &[f32]) -> bool {
    columns.iter().all(|column| match column.kind {
        ColumnKind::Category { .. } => {
            let ones = column
                .inputs
                .iter()
                .filter(|&&input| to[input] == 1.0)
                .count();
            let zeros = column
                .inputs
                .iter()
                .filter(|&&input| to[input] == 0.0)
                .count();
            ones == 1 && zeros == column.inputs.len() - 1
        }
        _ => {
            let value = to[column.inputs[0]];
            let [lower, upper] = limits(column.range(), column.direction, from[column.inputs[0]]);
            let whole = matches!(column.kind, ColumnKind::Number { .. }) || value.fract() == 0.0;
            (lower..=upper).contains(&value) && whole
        }
    })
}

const SMALL: &str = "children,rooms,owner,region,loans\n0,2,0,north,1\n3,5,1,south,0\n1,1,1,east,4\n5,3,0,north,2\n";
const SMALL_SCHEMA: &str = "[children]\nrange = [0, 5]\n[rooms]\nrange = [1, 6]\nscale = 1.5\n\
                            [loans]\nrange = [0, 4]\nscale = 0.7\ndirection = \"down\"\n\
                            [region]\nkind = \"category\"\nscale = 0.8\n";

#[test]
fn whole_numbers_and_categories_are_as_near_as_brute_force_finds_them() {
    let (columns, rows) = table(SMALL, SMALL_SCHEMA);
    let inputs = columns.inputs();
    for (kind, networks) in [("linear", 30), ("FC100-100-10", 30)] {
        for norm in [Norm::L2, Norm::Linf, Norm::L1, Norm::L0] {
            let (mut ratios, mut nearest, mut missed) = (Vec::new(), 0, 0);
            let (mut certificates, mut distances) = (0.0, 0.0);
            for case in 0..networks {
                let network = if kind == "linear" {
                    let mut stream = Stream::new(4, "lattice", case);
                    let weights: Vec<f64> = (0..inputs).map(|_| stream.normal()).collect();
                    let row = &rows[case % rows.len()];
                    let value: f64 = weights
                        .iter()
                        .zip(row)
                        .map(|(w, &x)| w * f64::from(x))
                        .sum();
                    linear(&weights, -value + 1.5 * stream.normal())
                } else {
                    Recipe::named(kind).unwrap().start(inputs, 3, case as u64)
                };
                for row in &rows {
                    let label = answer(&network, row);
                    let reached = lattice_rows(&columns, row);
                    let reached = reached.iter().filter(|to| answer(&network, to) != label);
                    let distance = |to: &Vec<f32>| norm_of(norm, &changes(&columns, row, to));
                    let brute = reached.map(distance).min_by(f64::total_cmp);
                    let attack = &Attack::sqp()
                        .columns(columns.clone())
                        .untargeted()
                        .norm(norm);
                    let set = InMemory::new(row.clone(), inputs);
                    let example = attack.run_on(&network, &set, &[label]).unwrap().remove(0);
                    let radius = certified(&network, attack, (row, label));
                    assert!(
                        radius <= brute.unwrap_or(f64::INFINITY) * (1.0 + 1e-9),
                        "{kind} {norm}: certified {radius}, {brute:?}"
                    );
                    certificates += radius.min(brute.unwrap_or(0.0));
                    assert!(
                        is_feasible(&columns, row, &example.adversarial),
                        "{example:?}"
                    );
                    if !example.success {
                        missed += usize::from(brute.is_some());
                        continue;
                    }
                    assert_ne!(answer(&network, &example.adversarial), label);
                    let size = distance(&example.adversarial);
                    assert_eq!(size, example.norm(norm));
                    let brute = brute.expect("what is found is one of all");
                    distances += brute;
                    assert!(size >= brute - 1e-9, "{size} below {brute}");
                    ratios.push(size / brute);
                    nearest += usize::from(size <= brute * (1.0 + 1e-9));
                }
            }
            let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
            println!(
                "{kind} {norm}: {mean:.4} of brute force on average, {nearest} of {} the nearest, {missed} missed",
                ratios.len()
            );
            assert!(ratios.len() > 30 && mean < 1.1, "{kind} {norm}: {mean}");
            assert!(missed * 50 <= ratios.len(), "{kind} {norm}: {missed}");
            let part = certificates / distances;
            println!("{kind} {norm}: certificates {part:.3} of brute force");
            if kind == "linear" {
                assert!(part > 0.3, "{norm}: {part}");
                assert_eq!((nearest, missed), (ratios.len(), 0), "{norm}");
            }
        }
    }
}

#[test]
fn numbers_beside_whole_numbers_and_categories_are_the_exact_ones_of_linear_models() {
    let text =
        "children,income,region,debt\n0,41.5,north,3.25\n3,22.5,south,0.5\n1,60.25,east,7.5\n";
    let schema = "[children]\nrange = [0, 5]\n[income]\nrange = [0, 100]\nscale = 10\n\
                  [region]\nkind = \"category\"\n[debt]\nrange = [0, 10]\nscale = 2\ndirection = \"down\"\n";
    let (columns, rows) = table(text, schema);
    let inputs = columns.inputs();
    let mut compared = 0;
    for case in 0..25 {
        let mut stream = Stream::new(6, "mixed", case);
        let scale = |input: usize| if input == 1 { 10.0 } else { 1.0 };
        let weights: Vec<f64> = (0..inputs)
            .map(|input| stream.normal() / scale(input))
            .collect();
        let base: f64 = weights
            .iter()
            .zip(&rows[case % 3])
            .map(|(w, &x)| w * f64::from(x))
            .sum();
        let bias = -base + 2.0 * stream.normal();
        let network = linear(&weights, bias);
        let value = |row: &[f32]| -> f64 {
            let terms = weights.iter().zip(row);
            terms
                .map(|(&w, &x)| f64::from(w as f32) * f64::from(x))
                .sum::<f64>()
                + f64::from(bias as f32)
        };
        for row in &rows {
            let (label, sign) = if value(row) > 0.0 {
                (1, -1.0)
            } else {
                (0, 1.0)
            };
            for norm in [Norm::L2, Norm::L1, Norm::Linf] {
                let exact = lattice_rows(&columns, row).into_iter().filter_map(|fixed| {
                    let own = changes(&columns, row, &fixed);
                    let missing = -sign * value(&fixed);
                    let numbers: Vec<_> = columns
                        .iter()
                        .filter(|column| matches!(column.kind, ColumnKind::Number { .. }))
                        .collect();
                    let normal: Vec<f64> = numbers
                        .iter()
                        .map(|column| sign * weights[column.inputs[0]] * column.scale)
                        .collect();
                    let room: Vec<[f64; 2]> = numbers
                        .iter()
                        .map(|column| {
                            let x = row[column.inputs[0]];
                            let ends = limits(column.range(), column.direction, x);
                            ends.map(|end| (f64::from(end) - f64::from(x)) / column.scale)
                        })
                        .collect();
                    let rest = if missing <= 0.0 {
                        0.0
                    } else {
                        least(norm, &normal, missing, &room)?
                    };
                    let own = norm_of(norm, &own);
                    Some(match norm {
                        Norm::L2 => own.hypot(rest),
                        Norm::L1 => own + rest,
                        _ => own.max(rest),
                    })
                });
                let exact = exact.min_by(f64::total_cmp);
                let attack = Attack::sqp()
                    .columns(columns.clone())
                    .untargeted()
                    .norm(norm);
                let set = InMemory::new(row.clone(), inputs);
                let example = attack.run_on(&network, &set, &[label]).unwrap().remove(0);
                let Some(exact) = exact else {
                    assert!(!example.success);
                    continue;
                };
                assert!(example.success, "{case} {norm}: {exact}");
                assert!(is_feasible(&columns, row, &example.adversarial));
                compared += 1;
                let size = example.norm(norm);
                assert!(
                    (size - exact).abs() <= 1e-3 * exact + 1e-4,
                    "{case} {norm}: {size}, {exact}"
                );
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn many_categories_are_searched_without_trying_all_choices() {
    // Four columns of six categories: 1296 choices, of which one change of a column is enough, or two.
    let names = ["a", "b", "c", "d", "e", "f"];
    let lines = names.map(|name| format!("{name},{name},{name},{name}\n"));
    let (columns, rows) = table(&format!("p,q,r,s\n{}", lines.concat()), "");
    let mut ratios = Vec::new();
    for case in 0..20 {
        let mut stream = Stream::new(8, "categories", case);
        let weights: Vec<f64> = (0..24).map(|_| stream.normal()).collect();
        let network = linear(&weights, stream.normal());
        for row in &rows {
            let label = answer(&network, row);
            let all = lattice_rows(&columns, row);
            let all = all.iter().filter(|to| answer(&network, to) != label);
            let size = |to: &Vec<f32>| norm_of(Norm::L1, &changes(&columns, row, to));
            let Some(brute) = all.map(size).min_by(f64::total_cmp) else {
                continue;
            };
            let attack = Attack::sqp()
                .columns(columns.clone())
                .untargeted()
                .norm(Norm::L1);
            let set = InMemory::new(row.clone(), 24);
            let example = attack.run_on(&network, &set, &[label]).unwrap().remove(0);
            assert!(example.success && is_feasible(&columns, row, &example.adversarial));
            ratios.push(example.l1 / brute);
        }
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    assert!(
        ratios.len() > 50 && mean < 1.02,
        "{mean} of {}",
        ratios.len()
    );
}

#[test]
fn results_do_not_depend_on_the_number_of_threads_and_what_does_not_fit_is_refused() {
    let (columns, rows) = table(SMALL, SMALL_SCHEMA);
    let network = Recipe::named("FC100-100-10")
        .unwrap()
        .start(columns.inputs(), 3, 5);
    let labels: Vec<usize> = rows.iter().map(|row| answer(&network, row)).collect();
    let set = InMemory::new(rows.concat(), columns.inputs());
    let options = SearchOptions::default()
        .target(Target::Untargeted)
        .columns(columns.clone());
    let positions: Vec<usize> = (0..rows.len()).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| search(&network, &set, &labels, &positions, &options, &Unwatched).unwrap())
    };
    assert_eq!(run(1), run(3));
    let narrow = Recipe::named("FC100-100-10").unwrap().start(4, 3, 5);
    let few = InMemory::new(vec![0.0; 4], 4);
    let error = search(&narrow, &few, &[0], &[0], &options, &Unwatched).unwrap_err();
    assert!(error.to_string().contains("make 7 values"), "{error}");
    let ddn = options.clone().method(crate::search::Method::Ddn);
    let error = search(&network, &set, &labels, &positions, &ddn, &Unwatched).unwrap_err();
    assert!(
        error.to_string().contains("knows no whole numbers"),
        "{error}"
    );
}
