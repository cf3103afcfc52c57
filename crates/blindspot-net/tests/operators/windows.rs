//! Small networks around one operator with windows: convolutions, local filters, pools.

use blindspot_net::Op;
use blindspot_net::ops::{Conv, Fields, Local, Lrn, Pool, PoolKind, Window};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::case::{ANY, Case, case, on_value, shape};

/// Windows, and the positions that they stand on.
fn window() -> impl Strategy<Value = (Window, Vec<usize>)> {
    (1usize..=2).prop_flat_map(|axes| {
        let list = move |sizes: std::ops::RangeInclusive<usize>| prop::collection::vec(sizes, axes);
        let lists = (
            list(1..=3),
            list(1..=3),
            list(1..=2),
            list(0..=2),
            list(0..=2),
        );
        (lists, list(1..=7)).prop_map(|((kernel, strides, dilations, before, after), positions)| {
            let window = Window {
                kernel,
                strides,
                dilations,
                before,
                after,
            };
            (window, positions)
        })
    })
}

pub(crate) fn conv() -> BoxedStrategy<Case> {
    let sizes = (1usize..4, 1usize..4, 1usize..4, any::<bool>());
    case((window(), sizes).prop_map(
        |((window, positions), (groups, channels, features, bias))| {
            let value = [&[groups * channels][..], &positions].concat();
            let weight = [&[groups * features, channels][..], &window.kernel].concat();
            let mut operands = vec![(true, value), (false, weight)];
            if bias {
                operands.push((false, vec![groups * features]));
            }
            (Op::Conv(Conv { window, groups }), operands, ANY)
        },
    ))
}

/// Windows, and fields of any places.
pub(crate) fn local() -> BoxedStrategy<Case> {
    let windows = (1usize..4, 1usize..6, 1usize..6, 1usize..4, 1usize..3);
    let windows = windows.prop_filter_map("it fits", |(channels, height, width, side, stride)| {
        let shape = [channels, height, width];
        let (fields, _) = Fields::windows(shape, side, stride).ok()?;
        Some((shape.to_vec(), fields))
    });
    let any = (
        shape(1..=3),
        1usize..14,
        prop::collection::vec(any::<Index>(), 1..40),
    );
    let any = any.prop_filter_map("whole fields", |(shape, length, places)| {
        let len = shape.iter().product();
        let whole = places.len() / length * length;
        let places = places[..whole].iter().map(|place| place.index(len));
        Some((shape, Fields::new(length, places.collect()).ok()?))
    });
    let fields = prop_oneof![windows, any];
    case((fields, 1usize..19).prop_map(|((shape, fields), maps)| {
        let weight = vec![fields.count(), fields.field_len(), maps];
        let operands = vec![(true, shape), (false, weight)];
        (Op::Local(Local { fields }), operands, ANY)
    }))
}

pub(crate) fn pool() -> BoxedStrategy<Case> {
    let kind = select(vec![
        PoolKind::Max,
        PoolKind::Average {
            count_padding: false,
        },
        PoolKind::Average {
            count_padding: true,
        },
    ]);
    case((kind, window(), 1usize..4, any::<bool>()).prop_map(
        |(kind, (window, mut positions), channels, ceil)| {
            positions.insert(0, channels);
            on_value(Op::Pool(Pool { kind, window, ceil }), positions)
        },
    ))
}

pub(crate) fn lrn() -> BoxedStrategy<Case> {
    let parts = (
        1usize..7,
        0.0..2.0,
        select(vec![0.5, 0.75, 2.0]),
        0.5..2.0,
        shape(1..=3),
    );
    case(parts.prop_map(|(size, alpha, beta, bias, shape)| {
        on_value(
            Op::Lrn(Lrn {
                size,
                alpha,
                beta,
                bias,
            }),
            shape,
        )
    }))
}
