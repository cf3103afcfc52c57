//! A model of one's own as two closures: the class whose mean image is nearest. Outputs are
//! -|x - mean|^2 / 2 for each class, and their gradients mean - x.
//! `cargo run --release --example own_model`
use blindspot::prelude::*;

const PIXELS: usize = 28 * 28;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let means = means(&ImageSet::open("mnist:train")?.first(5_000))?;
    let rows = |x: &[f32]| -> Vec<Vec<f32>> { x.chunks_exact(PIXELS).map(Vec::from).collect() };
    let outputs = |x: &[f32]| {
        let output = |x: &Vec<f32>, mean: &[f32]| {
            let squares = x.iter().zip(mean).map(|(x, m)| (x - m) * (x - m));
            -0.5 * squares.sum::<f32>()
        };
        let rows = rows(x);
        Ok(rows
            .iter()
            .flat_map(|x| means.iter().map(move |mean| output(x, mean)))
            .collect())
    };
    let pull_back = |x: &[f32], output_gradients: &[f32]| {
        let mut gradients = vec![0.0; x.len()];
        let images = x
            .chunks_exact(PIXELS)
            .zip(gradients.chunks_exact_mut(PIXELS));
        for ((x, gradient), weights) in images.zip(output_gradients.chunks_exact(10)) {
            for (mean, weight) in means.iter().zip(weights) {
                let values = gradient.iter_mut().zip(mean).zip(x);
                values.for_each(|((g, m), x)| *g += weight * (m - x));
            }
        }
        Ok(gradients)
    };
    let model = FnClassifier::new(&[PIXELS], 10, outputs, pull_back);
    let images = ImageSet::open("mnist:test")?.first(100);
    for adv in Attack::sqp().untargeted().run(&model, &images)? {
        println!("{} -> {}: {:.4}", adv.label, adv.prediction, adv.l2);
    }
    Ok(())
}

/// The mean image of each class.
fn means(images: &ImageSet) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
    let labels = images.labels().ok_or("no labels")?;
    let mut means = vec![vec![0.0; PIXELS]; 10];
    let mut image = vec![0.0; PIXELS];
    for (position, &label) in labels.iter().enumerate() {
        images.read_image(position, &mut image)?;
        let count = labels.iter().filter(|&&other| other == label).count() as f32;
        let values = means[label].iter_mut().zip(&image);
        values.for_each(|(mean, value)| *mean += value / count);
    }
    Ok(means)
}
