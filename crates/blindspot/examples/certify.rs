//! The certified radius of each of MNIST's first 100 test images: no perturbation below it changes
//! the answer. `cargo run --release --example certify -- fc100.onnx`
use blindspot::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).unwrap_or("fc100.onnx".into());
    let model = Model::open(file)?;
    let images = ImageSet::open("mnist:test")?.first(100);
    for certificate in Certifier::new(&model)?.certify(&images)? {
        let (index, label) = (certificate.index, certificate.label);
        println!("image {index} ({label}): {:.4}", certificate.radius);
    }
    Ok(())
}
