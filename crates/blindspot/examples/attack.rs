//! The smallest perturbation of each of MNIST's first 100 test images that changes the answer.
//! `cargo run --release --example attack -- fc100.onnx`
use blindspot::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).unwrap_or("fc100.onnx".into());
    let model = Model::open(file)?;
    let images = ImageSet::open("mnist:test")?.first(100);
    for adv in Attack::sqp().untargeted().run(&model, &images)? {
        println!("{} -> {}: {:.4}", adv.label, adv.prediction, adv.l2);
    }
    Ok(())
}
