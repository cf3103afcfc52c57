//! How the values of options are read.

use blindspot::certify::Arithmetic;
use blindspot::model::InputBox;
use blindspot::run::journal::Shard;
use blindspot_data::Resize;

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

/// A positive number of seconds; more than a year is a year.
pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(seconds) if seconds > 0.0 => Ok(seconds.min(366.0 * 86_400.0)),
        _ => Err("give a positive number of seconds".into()),
    }
}

/// A number of bytes with its unit, as in 12GB, 1.5 GiB or 800MB.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let unit = match text[end..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1048576.0,
        "gib" => 1073741824.0,
        "tib" => 1099511627776.0,
        _ => 0.0,
    };
    match text[..end].trim().parse::<f64>() {
        Ok(number) if number * unit >= 1.0 => Ok((number * unit) as u64),
        _ => Err("give a size with its unit, as in 12GB or 800MB".into()),
    }
}

pub(super) fn parse_arithmetic(text: &str) -> Result<Arithmetic, String> {
    match text.trim() {
        "runtime" => Ok(Arithmetic::Runtime),
        "exact" => Ok(Arithmetic::Exact),
        _ => Err("write runtime or exact".into()),
    }
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
