//! What was probably meant by a name that is not known.

/// The known name that is most like `name`, letter case aside.
///
/// # Panics
/// If no name is known.
pub(crate) fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> &'a str {
    let name = name.to_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name);
    let best = known
        .into_iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    best.expect("some names are known")
}
