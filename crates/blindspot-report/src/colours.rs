//! The colours of drawings: in files those written here, in pages those that the style sheet has for the same names, in
//! light and dark.

/// White paper, as the pages have it.
pub(crate) const PAPER: &str = "#fdfdfb";
/// Of words.
pub(crate) const INK: &str = "#1c1d20";
/// Of numbers and what is said beside.
pub(crate) const SOFT: &str = "#5c6068";
/// Of lines that lead the eye.
pub(crate) const RULE: &str = "#dcdcd6";
/// Of what is there to compare with.
pub(crate) const OTHER: &str = "#8f949c";
/// Of a share of 1, less of it of less.
pub(crate) const HEAT: &str = "#173776";
/// Of words on that.
pub(crate) const ON_HEAT: &str = "#ffffff";

/// Colours that curves can be told apart by, on paper and by most who don't see all colours.
pub const COLOURS: [&str; 3] = ["#2b5fa8", "#b4540f", "#3f7d3a"];

/// The class under which a page has its own for a colour.
pub(crate) fn class(colour: &str) -> Option<&'static str> {
    let classes = [
        (PAPER, "c-paper"),
        (INK, "c-ink"),
        (SOFT, "c-soft"),
        (RULE, "c-rule"),
        (OTHER, "c-other"),
        (HEAT, "c-heat"),
        (ON_HEAT, "c-on-heat"),
        (COLOURS[0], "c-first"),
        (COLOURS[1], "c-second"),
        (COLOURS[2], "c-third"),
    ];
    let found = classes.into_iter().find(|(own, _)| *own == colour);
    found.map(|(_, class)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_colour_on_a_page() {
        let colours = [PAPER, INK, SOFT, RULE, OTHER, HEAT, ON_HEAT];
        for colour in colours.into_iter().chain(COLOURS) {
            let rule = format!(".{} {{ color:", class(colour).unwrap());
            assert!(crate::page::STYLE.contains(&rule), "{rule}");
        }
        assert_eq!(class("#123456"), None);
    }
}
