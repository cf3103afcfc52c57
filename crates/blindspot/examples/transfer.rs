//! How many of one network's adversarial examples fool others: `examples.npz` is a file that
//! `blindspot attack` wrote. `cargo run --release --example transfer -- examples.npz a.onnx b.onnx`
use blindspot::prelude::*;
use blindspot::transfer::SavedExamples;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files = std::env::args().skip(1);
    let examples = files.next().unwrap_or("examples.npz".into());
    let models = files.map(|file| Ok((file.clone(), Model::open(file)?)));
    let models: Vec<(String, Model)> = models.collect::<Result<_, ModelError>>()?;
    let mut study = Transfer::new().examples("examples", SavedExamples::open(examples.as_ref())?);
    for (name, model) in &models {
        study = study.model(name, model);
    }
    for ((name, _), rate) in models.iter().zip(&study.run()?.rates[0]) {
        println!("{name}: {:.1}% wrong", 100.0 * rate.error);
    }
    Ok(())
}
