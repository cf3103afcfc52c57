//! Which of MNIST's test images excite units of the last hidden layer the most, and whether units
//! mean more than random directions. `cargo run --release --example units -- fc100.onnx`
use blindspot::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).unwrap_or("fc100.onnx".into());
    let model = Model::open(file)?;
    let images = ImageSet::open("mnist:test")?;
    let report = Units::of(&model).units([3, 17]).run(&images)?;
    for unit in &report.units {
        println!("unit {}: images {:?}", unit.unit, unit.found.top.images);
    }
    if let Some(study) = &report.study {
        println!("{}", study.answer);
    }
    Ok(())
}
