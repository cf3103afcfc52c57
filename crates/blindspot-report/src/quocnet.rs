//! Figure 6 out of the results: what the features are worth, what fools them, what sizes cost.

use blindspot_paper::quocnet::{Cost, Judgement, StageRecord};
use blindspot_paper::results::{QuocNet, QuocNetDirection};

use crate::table::{Cell, Table};
use crate::tables::note;

/// The features of the last stage beside the controls.
pub fn quocnet(results: &QuocNet, quick: bool) -> Table {
    let heads = [
        "features",
        "number",
        "average precision",
        "balanced",
        "balanced accuracy",
        "accuracy",
        "best neuron",
    ];
    let row = |(name, judgement): (&str, &Judgement)| {
        vec![
            Cell::Text(name.to_owned()),
            Cell::Count(judgement.features),
            Cell::Rate(judgement.average_precision, None),
            Cell::Rate(judgement.average_precision_balanced, None),
            Cell::Rate(judgement.balanced_accuracy, None),
            Cell::Rate(judgement.accuracy, None),
            Cell::Rate(judgement.best_neuron_accuracy, None),
        ]
    };
    let own = std::iter::once(("QuocNet, all stages", &results.judgement));
    let controls = results.controls.iter();
    let all = own.chain(controls.map(|(name, judgement)| (name.as_str(), judgement)));
    let QuocNet {
        class,
        images,
        tested,
        ..
    } = results;
    let method = format!(
        "`{class}` against the rest by logistic regression, learned from {images} images, tried on \
         {tested} others; average precision and accuracy of all of these, balanced with as many others \
         as there are of the class. The best neuron: one feature alone, its threshold and itself chosen \
         on the former images; balanced accuracy."
    );
    Table {
        title: "QuocNet: what features are worth that were learned without labels".into(),
        note: note(quick, &method),
        heads: heads.map(str::to_owned).to_vec(),
        rows: all.map(row).collect(),
    }
}

/// How each stage was trained.
pub fn quocnet_stages(results: &QuocNet, quick: bool) -> Table {
    let heads = [
        "stage",
        "positions",
        "numbers in a field",
        "maps",
        "weights",
        "steps",
        "error before",
        "error",
        "principal components",
    ];
    let row = |(i, stage): (usize, &StageRecord)| {
        vec![
            Cell::Count(i as u64 + 1),
            Cell::Text(format!("{}x{}", stage.grid[0], stage.grid[1])),
            Cell::Count(stage.field_len as u64),
            Cell::Count(stage.maps as u64),
            Cell::Count(stage.weights),
            Cell::Count(stage.steps),
            Cell::Rate(stage.error_before, None),
            Cell::Rate(stage.error, None),
            Cell::Rate(stage.error_pca, None),
        ]
    };
    let method = "Error: of the reconstruction of images held out, squared, as a part of their sum of \
                  squares. Principal components: what they leave of each field, as many as there are \
                  maps, chosen for this error alone and for single fields.";
    Table {
        title: "QuocNet: how the stages put images together again".into(),
        note: note(quick, method),
        heads: heads.map(str::to_owned).to_vec(),
        rows: results.stages.iter().enumerate().map(row).collect(),
    }
}

/// What sizes cost, up to the paper's.
pub fn quocnet_costs(costs: &[Cost]) -> Table {
    let heads = [
        "images",
        "fields",
        "maps",
        "weights",
        "trained",
        "memory, GB",
        "forward, GFLOP",
        "training, GFLOP",
    ];
    let row = |cost: &Cost| {
        vec![
            Cell::Text(format!("{0}x{0}", cost.input)),
            Cell::Text(format!("{0}x{0}", cost.field)),
            Cell::Count(cost.maps),
            Cell::Count(cost.weights),
            Cell::Count(cost.trained),
            Cell::Figure(Some(cost.training_bytes as f64 / 1e9), None),
            Cell::Figure(Some(cost.forward / 1e9), None),
            Cell::Figure(Some(cost.training / 1e9), None),
        ]
    };
    Table {
        title: "QuocNet: what a size costs".into(),
        note: "Fields and maps of the first stage. Trained: with the weights that put images together \
               again. Memory: of training, a stage at a time, in single precision. Floating-point \
               operations of one image."
            .into(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: costs.iter().map(row).collect(),
    }
}

/// What is said below figure 6.
pub(crate) fn captions(results: &QuocNet) -> Vec<String> {
    let class = &results.class;
    let direction = |what: &str, direction: &QuocNetDirection| {
        let QuocNetDirection {
            samples,
            fooled,
            distortion_mean,
            other_samples,
            other_fooled,
            ..
        } = direction;
        format!(
            "{samples} {what}: {:.0}% of them, average distortion {distortion_mean:.6}; a network \
             trained from another seed gets {:.1}% of those wrong that it knows ({other_samples}).",
            100.0 * fooled,
            100.0 * other_fooled
        )
    };
    vec![
        direction(
            &format!("recognised images of `{class}`, changed until they are not recognised"),
            &results.away,
        ),
        direction(
            &format!("other images, changed until they are taken for `{class}`"),
            &results.towards,
        ),
    ]
}
