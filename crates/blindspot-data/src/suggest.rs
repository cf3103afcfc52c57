//! What was probably meant by a name that is not known.

/// The known name that is most like `name`, letter case aside; None if no name is known.
///
/// ```
/// assert_eq!(blindspot_data::suggest("mnist:tset", ["mnist:train", "mnist:test"]), Some("mnist:test"));
/// ```
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name);
    let known = known.into_iter();
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}
