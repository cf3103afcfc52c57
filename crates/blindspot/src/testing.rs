//! What unit tests share: MNIST where the machine has it, and networks trained on it once each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use blindspot_data::{DataSpec, ImageSet, Locations, Silent};
use blindspot_net::Network;
use blindspot_paper::train::Recipe;

/// MNIST's training images, where the machine has them.
fn mnist() -> Option<&'static ImageSet> {
    static SET: OnceLock<Option<ImageSet>> = OnceLock::new();
    let load = || {
        let locations = Locations::offline(vec![blindspot_testing::data_dir()?]);
        let spec = "mnist:train".parse::<DataSpec>().ok()?;
        spec.load(&locations, &mut Silent).ok()
    };
    SET.get_or_init(load).as_ref()
}

/// A network of the paper trained for some iterations on the first `images` images of MNIST, and
/// those images. Each network is trained once in a test run.
pub(crate) fn network(
    name: &str,
    images: usize,
    iterations: usize,
) -> Option<(Network<f32>, ImageSet)> {
    type Trained = Arc<OnceLock<Network<f32>>>;
    static TRAINED: Mutex<BTreeMap<(String, usize, usize), Trained>> = Mutex::new(BTreeMap::new());
    let set = mnist()?.first(images);
    let key = (name.to_owned(), images, iterations);
    let trained = Arc::clone(TRAINED.lock().unwrap().entry(key).or_default());
    let network = trained.get_or_init(|| {
        let recipe = Recipe::named(name).unwrap().with_iterations(iterations);
        let labels = set.labels().unwrap();
        recipe.train(&set, labels, 1).unwrap().network
    });
    Some((network.clone(), set))
}
