//! The guide's list of operators is that of the importer's tables.

use std::path::Path;

use blindspot_net::onnx;

const BEGIN: &str = "<!-- operators: written by `BLINDSPOT_WRITE=1 cargo test -p blindspot-net --test documents` -->\n";
const END: &str = "<!-- end of operators -->\n";
/// The widest a line may be.
const WIDTH: usize = 120;

/// The names, separated by commas, in lines.
fn list() -> String {
    let mut text = String::from("\n");
    let mut width = 0;
    for (i, name) in onnx::OPERATORS.iter().enumerate() {
        let last = i + 1 == onnx::OPERATORS.len();
        let word = format!("{name}{}", if last { "." } else { "," });
        if width + 1 + word.len() > WIDTH {
            text.push('\n');
            width = 0;
        }
        if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(&word);
        width += word.len();
    }
    text + "\n\n"
}

#[test]
fn the_guide_lists_the_operators_that_are_read() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/networks.md");
    // The crate may stand alone.
    let Ok(text) = std::fs::read_to_string(&guide) else {
        return;
    };
    let (before, rest) = text.split_once(BEGIN).expect("a mark before the list");
    let (found, after) = rest.split_once(END).expect("a mark behind it");
    let expected = list();
    if std::env::var_os("BLINDSPOT_WRITE").is_some() {
        std::fs::write(&guide, [before, BEGIN, &expected, END, after].concat()).unwrap();
    } else {
        assert_eq!(found, expected, "run the command of the list's mark");
    }
}
