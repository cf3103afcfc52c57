//! How each model of a replication is trained.

use super::Options;
use crate::train::{Recipe, Training};

/// The layers of a model of tables 3 and 4, and the half of the training set that it is trained
/// on, 0 for P1, 1 for P2.
pub(super) fn halved(name: &str) -> Option<(&'static str, usize)> {
    match name {
        "M1" => Some(("FC100-100-10", 0)),
        "M2" => Some(("FC123-456-10", 0)),
        "M3" => Some(("FC100-100-10", 1)),
        _ => None,
    }
}

/// The recipe of a model under the options.
pub(super) fn recipe(name: &str, options: &Options) -> Recipe {
    let layers = halved(name).map_or(name, |(layers, _)| layers);
    let recipe = Recipe::named(layers).expect("experiments name models that there are");
    let mut recipe = recipe.with_decay(options.decay);
    recipe.name = name.to_owned();
    if options.quick {
        shorten(&mut recipe);
    }
    recipe
}

/// Makes a training short enough for a quick look.
fn shorten(recipe: &mut Recipe) {
    let linear = recipe.hidden().is_empty();
    match &mut recipe.training {
        Training::Lbfgs {
            iterations,
            sparsity,
            ..
        } => {
            // The linear ones converge.
            *iterations = (*iterations).min(if linear { 100 } else { 50 });
            if let Some(sparsity) = sparsity {
                sparsity.iterations = 15;
            }
        }
        Training::MiniBatch { epochs, .. } => *epochs = 1,
    }
}
