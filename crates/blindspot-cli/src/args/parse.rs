//! How the values of options are read.

use std::ops::{Bound, RangeBounds};

use blindspot::model::InputBox;
use blindspot::run::journal::Shard;
use blindspot_data::Resize;
use blindspot_net::Bytes;

pub(super) fn parse_shard(text: &str) -> Result<Shard, String> {
    Shard::parse(text, |name| std::env::var(name).ok()).map_err(|error| error.to_string())
}

pub(super) fn parse_box(text: &str) -> Result<InputBox, String> {
    let numbers = text
        .split_once(',')
        .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
    match numbers {
        Some((lower, upper)) if lower < upper => Ok(InputBox { lower, upper }),
        _ => Err("give a lower and a higher number, as in 0,1".into()),
    }
}

/// A count: a whole number, as in 500, 1e3, 10k or 2M.
pub(super) fn parse_count(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    let number = match text.char_indices().next_back()? {
        (end, 'k' | 'K') => format!("{}e3", &text[..end]),
        (end, 'm' | 'M') => format!("{}e6", &text[..end]),
        _ => text.to_owned(),
    };
    // Up to here every whole number has a value of its own.
    let number = number.parse::<f64>().ok();
    let number = number.filter(|number| number.fract() == 0.0 && (0.0..=9e15).contains(number));
    number.map(|number| number as u64)
}

/// Reads counts within `range`.
pub(super) fn count<T: TryFrom<u64>>(
    range: impl RangeBounds<u64> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let count = parse_count(text).filter(|count| range.contains(count));
        count
            .and_then(|count| T::try_from(count).ok())
            .ok_or_else(|| {
                let least = match range.start_bound() {
                    Bound::Included(&least) | Bound::Excluded(&least) => least,
                    Bound::Unbounded => 0,
                };
                let most = match range.end_bound() {
                    Bound::Included(most) | Bound::Excluded(most) => format!(" to {most}"),
                    Bound::Unbounded => String::new(),
                };
                format!("give a whole number from {least}{most}, as in 500, 1e3 or 10k")
            })
    }
}

/// A positive number of seconds; more than a year is a year.
pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(seconds) if seconds > 0.0 => Ok(seconds.min(366.0 * 86_400.0)),
        _ => Err("give a positive number of seconds".into()),
    }
}

/// A number of bytes with its unit, as in 12GB, 1.5 GiB or 800MB.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    text.parse().map(|Bytes(bytes)| bytes)
}

/// The processor, under its own name; any other device is answered with how its work gets there.
pub(super) fn parse_device(text: &str) -> Result<(), String> {
    match text.trim() {
        "cpu" => Ok(()),
        _ => Err("the command computes on the processor; from Python a PyTorch module is searched on the device that it \
                  is on: blindspot.attack(module.to(\"cuda\"), images, labels)"
            .into()),
    }
}

/// A norm, as a number or a quotient, as in 0.03 or 8/255.
pub(super) fn parse_norm(text: &str) -> Result<f64, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let norm = match text.split_once('/') {
        Some((over, under)) => number(over).zip(number(under)).map(|(a, b)| a / b),
        None => number(text),
    };
    norm.filter(|norm| norm.is_finite() && *norm >= 0.0)
        .ok_or("give norms from 0, as in 0.5 or 4/255,8/255".into())
}

/// The largest side that images are resized to: larger than any network takes.
const MAX_SIDE: usize = 1 << 13;

pub(super) fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| {
        let side = text.trim().parse().ok();
        side.filter(|side| (1..=MAX_SIDE).contains(side))
            .ok_or(format!(
                "give pixels from 1 to {MAX_SIDE}, as in 224 or 240,320"
            ))
    };
    match text.split_once(',') {
        Some((height, width)) => Ok([side(height)?, side(width)?]),
        None => Ok([side(text)?; 2]),
    }
}

pub(super) fn parse_resize(text: &str) -> Result<Resize, String> {
    let size = parse_size(text)?;
    Ok(if text.contains(',') {
        Resize::Exactly(size)
    } else {
        Resize::Shorter(size[0])
    })
}

pub(super) fn parse_range(text: &str) -> Result<[f64; 2], String> {
    let numbers = text
        .split_once(',')
        .and_then(|(low, high)| Some([low.trim().parse().ok()?, high.trim().parse().ok()?]));
    match numbers {
        Some([low, high]) if low < high && f64::is_finite(high - low) => Ok([low, high]),
        _ => Err("give a lower and a higher number, as in 0,255".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_are_numbers_or_quotients() {
        assert_eq!(parse_norm(" 0.5 "), Ok(0.5));
        assert_eq!(parse_norm("8/255"), Ok(8.0 / 255.0));
        for text in ["", "-1", "1/0", "0/0", "/2", "inf", "NaN", "1/2/3"] {
            assert!(parse_norm(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_written_as_people_write_them() {
        for (text, number) in [
            ("0", 0),
            ("500", 500),
            ("1e3", 1_000),
            ("1.5e3", 1_500),
            ("10k", 10_000),
            ("1.15K", 1_150),
            ("2M", 2_000_000),
            (" 7 ", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_count(text), Some(number), "{text}");
        }
        for text in [
            "", "k", "-1", "1.5", "1e-3", "1e99", "inf", "NaN", "10 000", "0x10", "5kk", "1e3k",
            "ük",
        ] {
            assert_eq!(parse_count(text), None, "{text}");
        }
        let parse = count::<u16>(1..=1000);
        assert_eq!(parse("1k"), Ok(1000));
        let why = "give a whole number from 1 to 1000, as in 500, 1e3 or 10k";
        for text in ["0", "1001", "1e9"] {
            assert_eq!(parse(text), Err(why.to_owned()), "{text}");
        }
        assert!(count::<u16>(0..)("70k").is_err(), "it has to fit");
    }
}
