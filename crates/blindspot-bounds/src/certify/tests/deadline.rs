//! What must hold of certificates that have to be there at some time.

use std::time::{Duration, Instant};

use blindspot_net::{Budget, ExactNetwork};

use super::*;
use crate::certify::certifier::Preparation;
use crate::certify::lipschitz::Lipschitz;

/// A network whose linear bounds take long: they are carried back from each unit of wide layers.
fn wide() -> Network<f32> {
    let mut stack = Stack::new(&[60], 95);
    let mut below = 60;
    for _ in 0..4 {
        stack = stack.dense(below, 250).activation(Unary::Relu);
        below = 250;
    }
    stack.dense(below, 5).network()
}

#[test]
fn cheap_bounds_come_in_time_and_the_better_ones_when_there_is_some() {
    let network = wide();
    let (images, labels) = images(&network, 2, 95);
    let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
    let all = [0, 1];
    let began = Instant::now();
    let whole = certifier
        .certify_inputs(&images, &labels, &all, &Unwatched)
        .unwrap();
    let long = began.elapsed();
    // The quickest of a few: other work on the machine makes any one of them long.
    let until = |time: Duration| {
        let tries = (0..5).map(|_| {
            let began = Instant::now();
            let found = certifier.certify_until(&images, &labels, &all, began + time, &Unwatched);
            (found.unwrap(), began.elapsed())
        });
        tries.min_by_key(|(_, took)| *took).expect("there are five")
    };
    // None at all: the product of norms.
    let (none, took) = until(Duration::ZERO);
    assert!(took < long / 4, "{took:?} of {long:?}");
    // Less than the first linear bounds take: intervals at least.
    let (little, took) = until(long / 40);
    assert!(took < long / 4, "{took:?} of {long:?}");
    let (enough, _) = until(20 * long + Duration::from_secs(20));
    for (((whole, none), little), enough) in whole.iter().zip(none).zip(little).zip(enough) {
        assert_eq!(Some(none.radius), none.lipschitz);
        assert_eq!(whole.lipschitz, none.lipschitz);
        assert!(
            none.radius > 0.0 && none.radius <= little.radius,
            "{little:?}"
        );
        assert!(little.radius <= whole.radius, "{little:?} {whole:?}");
        assert_eq!(*whole, enough);
    }
    // Branch and bound ends, too.
    let tries = (0..5).map(|_| {
        let mut refined = whole.clone();
        let began = Instant::now();
        let soon = began + long / 40;
        certifier
            .refine(&mut refined, &images, soon, &Unwatched)
            .unwrap();
        began.elapsed()
    });
    let took = tries.min().expect("there are five");
    assert!(took < long / 4, "{took:?} of {long:?}");
}

/// Without any time the layers' norms are those of their magnitudes, and nothing else is prepared.
#[test]
fn what_bounds_need_is_made_within_the_time() {
    let network = Stack::new(&[60], 95)
        .dense(60, 250)
        .activation(Unary::Relu)
        .dense(250, 5)
        .network();
    let (images, labels) = images(&network, 3, 95);
    let model = Model::from_network(network).unwrap();
    let whole = Certifier::new(&model).unwrap();
    let late = Certifier::in_box_until(&model, InputBox::default(), Instant::now()).unwrap();
    assert_eq!(late.without_linear(), Some(&CertifyError::Late));
    assert!(late.limits(true)[0].contains("the time ran out"));
    let all = [0, 1, 2];
    let [whole, late] = [whole, late].map(|certifier| {
        let found = certifier.certify_inputs(&images, &labels, &all, &Unwatched);
        found.unwrap()
    });
    for (whole, late) in whole.iter().zip(&late) {
        let (by_norms, by_magnitudes) = (whole.lipschitz.unwrap(), late.lipschitz.unwrap());
        assert!(
            0.0 < by_magnitudes && by_magnitudes < by_norms,
            "{late:?} {whole:?}"
        );
        assert_eq!(late.radius, by_magnitudes);
    }
    // With an hour all is prepared.
    let hour = Instant::now() + Duration::from_secs(3600);
    let enough = Certifier::in_box_until(&model, InputBox::default(), hour).unwrap();
    let enough = enough
        .certify_inputs(&images, &labels, &all, &Unwatched)
        .unwrap();
    assert_eq!(enough, whole);
}

/// The magnitudes that stand for norms are memory, too.
#[test]
fn magnitudes_of_weights_are_asked_for_before_they_are_made() {
    let exact = ExactNetwork::from(&wide());
    let with = |memory: u64| {
        let budget = Budget {
            memory,
            ..Budget::default()
        };
        let preparation = Preparation {
            budget: &budget,
            deadline: Some(Instant::now()),
        };
        Lipschitz::new(&exact, &preparation).err()
    };
    // Of 250 times 250 numbers and as many biases, both as the file gives them and as they are summed up.
    let needs = 2 * 8 * (250 * 250 + 250);
    assert_eq!(with(needs), None);
    assert!(matches!(with(needs - 1), Some(CertifyError::Budget(_))));
}
