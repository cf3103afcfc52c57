//! What training for certificates bounds, and what certificates do.

use blindspot_model::Norm;
use blindspot_paper::LabelledData;
use blindspot_paper::train::certified_share;

use super::*;
use crate::certify::affine::AffineLayers;
use crate::certify::arithmetic::Rounding;
use crate::certify::first_layer::FirstLayer;
use crate::certify::lowered::Lowered;
use crate::certify::perturbation_box::PerturbationBox;
use crate::certify::propagation::BoundPropagation;

/// The intervals of training end where those of certificates do: at the change at which the worst margin is 0.
#[test]
fn training_bounds_the_same_intervals_as_certificates() {
    let mut seen = 0;
    for name in ["FC100-100-10", "conv"] {
        let recipe = Recipe::named(name).unwrap().with_hidden(&[12, 9]);
        let mut network = recipe.start(784, 10, 3);
        // Biases count, too.
        let mut stream = Stream::new(4, "biases of a test", 0);
        let mut weights = network.weights().to_vec();
        for (weight, info) in weights.iter_mut().zip(network.graph().weights()) {
            if info.shape.len() == 1 {
                weight.fill_with(|| 0.1 * stream.normal() as f32);
            }
        }
        network.set_weights(weights.into_iter().flatten());
        let exact: blindspot_net::ExactNetwork = (&network).into();
        let layers =
            AffineLayers::new(&Lowered::new(&exact).unwrap(), 1.0, &Rounding::DOUBLE).unwrap();
        let mut first = FirstLayer::new(&layers.affine[0]);
        first.set_norm(&layers.affine[0], Norm::Linf);
        let mut propagation = BoundPropagation::new(&layers, &first);
        let (images, labels) = images(&network, 4, 5);
        for (image, &label) in images.values().chunks_exact(784).zip(&labels) {
            let domain = PerturbationBox::new(image, 0.0, 1.0).in_norm(Norm::Linf);
            let (mut certified, mut not) = (0.0, 1.0);
            for _ in 0..20 {
                let middle = 0.5 * (certified + not);
                if propagation.interval_margin(&domain, label, middle) > 0.0 {
                    certified = middle;
                } else {
                    not = middle;
                }
            }
            if certified == 0.0 || not == 1.0 {
                continue;
            }
            let one = InMemory::new(image.to_vec(), 784);
            let labels = [label];
            let data = LabelledData::new(&one, &labels);
            let share = |epsilon| certified_share(&network, &data, epsilon).unwrap();
            assert_eq!(share(0.999 * certified), 1.0, "{name} {certified}");
            assert_eq!(share(1.001 * not), 0.0, "{name} {not}");
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen}");
}
