//! Files of labels: the class of each image of a folder, by its name or in the order of the images.
//!
//! Nothing is guessed: where a line can be read in more than one way, or a class differs in kind from
//! the others, the file is refused with the line and the image.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::folder::few;

/// What can stand between the cells of a line. Only a cell in quotes may contain one.
const SEPARATORS: &[char] = &[',', '\t', ';', ' '];

/// What a line gives an image: a class, as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) line: usize,
    pub(crate) class: String,
}

/// The classes that the text of a file gives to `images`, which are sorted and at least one; and the
/// names of the classes if it has names, which are numbered in sorted order.
///
/// A line has the name of an image and its class, with a comma, a tab or a space between; or, where
/// no line begins with an image's name, just the class of the next image. The class is the rest of
/// the line.
///
/// # Errors
/// What is wrong, and in which line.
pub(crate) fn read_labels(
    text: &str,
    images: &[PathBuf],
) -> Result<(Vec<usize>, Option<Vec<String>>), String> {
    let lines: Vec<&str> = text
        .trim_start_matches('\u{feff}')
        .trim_end()
        .lines()
        .collect();
    let names: Vec<String> = images
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let positions: HashMap<&str, usize> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.as_str(), i))
        .collect();
    let rows: Vec<Option<Row>> = lines
        .iter()
        .map(|line| Row::find(line, &positions))
        .collect();
    let given = if rows.iter().any(Option::is_some) {
        by_name(&lines, rows, &names)?
    } else {
        in_order(&lines, &names)?
    };
    numbered(&given, &names)
}

/// A line that begins with the name of an image.
struct Row {
    image: usize,
    /// What follows the separator after the name.
    rest: String,
    separator: char,
}

impl Row {
    /// The longest beginning of a line that is an image's name, and what follows it.
    fn find(line: &str, positions: &HashMap<&str, usize>) -> Option<Row> {
        let ends = line.char_indices().rev();
        let mut ends = ends.filter(|(_, c)| SEPARATORS.contains(c) && *c != ';');
        ends.find_map(|(end, separator)| {
            let name = cell(&line[..end], &[])?;
            let image = *positions.get(name.as_str())?;
            let rest = line[end + 1..].to_owned();
            Some(Row {
                image,
                rest,
                separator,
            })
        })
    }

    /// The class, which is all of the rest.
    fn class(&self) -> Option<String> {
        // After a comma or a tab a name may have spaces.
        let words = self.separator != ' ';
        let separators = &SEPARATORS[..SEPARATORS.len() - usize::from(words)];
        cell(&self.rest, separators)
    }
}

/// The classes of images whose names stand before them. Lines of other images say nothing.
fn by_name(lines: &[&str], rows: Vec<Option<Row>>, names: &[String]) -> Result<Vec<Given>, String> {
    let mut found: Vec<Option<Given>> = vec![None; names.len()];
    for (i, row) in rows.iter().enumerate() {
        let line = i + 1;
        let Some(row) = row else {
            if !lines[i].trim().is_empty() && !lines[i].trim().contains(SEPARATORS) {
                return Err(format!(
                    "line {line} is no `NAME,CLASS`: `{}`",
                    short(lines[i])
                ));
            }
            continue;
        };
        let name = &names[row.image];
        let class = row.class().ok_or_else(|| {
            format!(
                "line {line} gives {name} more than a class: `{}`; put a class that is one name into \
                 quotes",
                short(row.rest.trim())
            )
        })?;
        if class.is_empty() {
            return Err(format!("line {line} gives {name} no class"));
        }
        if let Some(before) = &found[row.image]
            && before.class != class
        {
            return Err(format!("line {line} gives {name} a second class"));
        }
        found[row.image] = Some(Given { line, class });
    }
    let without = names
        .iter()
        .zip(&found)
        .filter(|(_, given)| given.is_none());
    let without: Vec<String> = without.map(|(name, _)| name.clone()).collect();
    if !without.is_empty() {
        return Err(format!("it has no class for {}", few(&without)));
    }
    Ok(found.into_iter().flatten().collect())
}

/// The classes of images in their order, one a line.
fn in_order(lines: &[&str], names: &[String]) -> Result<Vec<Given>, String> {
    if lines.len() != names.len() {
        return Err(format!(
            "no line begins with the name of an image, and {} lines are no classes of {} images \
             sorted by name; write lines like `{},3`",
            lines.len(),
            names.len(),
            names[0]
        ));
    }
    let given = lines.iter().zip(names).enumerate().map(|(i, (text, name))| {
        let line = i + 1;
        match cell(text, SEPARATORS) {
            Some(class) if class.is_empty() => Err(format!("line {line} gives {name} no class")),
            Some(class) => Ok(Given { line, class }),
            None => Err(format!(
                "line {line}, of {name}, has more than a class: `{}`; begin each line with the name of \
                 its image, as in `{},3`, or put a class that is one name into quotes",
                short(text),
                names[0]
            )),
        }
    });
    given.collect()
}

/// Classes as numbers: those that the text has, or the positions of its names in sorted order.
pub(crate) fn numbered(
    given: &[Given],
    images: &[String],
) -> Result<(Vec<usize>, Option<Vec<String>>), String> {
    let numbers: Vec<Option<usize>> = given.iter().map(|g| g.class.parse().ok()).collect();
    let count = numbers.iter().flatten().count();
    let odd = |is_odd: &dyn Fn(usize) -> bool, why: &str| {
        (0..given.len()).find(|&i| is_odd(i)).map_or(Ok(()), |i| {
            let Given { line, class } = &given[i];
            Err(format!(
                "line {line} gives {} the class `{}`, {why}",
                images[i],
                short(class)
            ))
        })
    };
    if 2 * count >= given.len() {
        let why = "and others are numbers; classes are whole numbers from 0, or all of them names";
        odd(&|i| numbers[i].is_none(), why)?;
        return Ok((numbers.into_iter().flatten().collect(), None));
    }
    let why = "which is no whole number from 0, and no name";
    odd(
        &|i| numbers[i].is_none() && is_numeric(&given[i].class),
        why,
    )?;
    let why = "a number, and others are names; write numbers or names for all";
    odd(&|i| numbers[i].is_some(), why)?;
    let mut names: Vec<String> = given.iter().map(|given| given.class.clone()).collect();
    names.sort();
    names.dedup();
    let number = |given: &Given| names.binary_search(&given.class).ok();
    Ok((given.iter().filter_map(number).collect(), Some(names)))
}

/// True of -1, 1.5, 2e3: what is meant as a number.
fn is_numeric(text: &str) -> bool {
    let first = text.trim_start_matches(['+', '-', '.']);
    first.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok()
}

/// The content of a cell, without quotes around it; None if one of `separators` stands in it outside
/// of quotes.
fn cell(text: &str, separators: &[char]) -> Option<String> {
    let text = text.trim();
    if let Some(quoted) = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    {
        let is_one = !quoted.replace("\"\"", "").contains('"');
        return is_one.then(|| quoted.replace("\"\"", "\"").trim().to_owned());
    }
    (!text.contains(separators)).then(|| text.to_owned())
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The labels that a file gives to images `0.png`, `1.png`, ...
    fn read(lines: &[&str], images: usize) -> Result<(Vec<usize>, Option<Vec<String>>), String> {
        let images: Vec<PathBuf> = (0..images).map(|i| format!("{i}.png").into()).collect();
        read_labels(&lines.join("\n"), &images)
    }

    #[test]
    fn names_numbers_and_lines_in_order_are_read() {
        let numbers = Ok((vec![5, 0, 11], None));
        assert_eq!(
            read(
                &["file,class", "2.png,11", "0.png,5", "9.png,7", "1.png,0"],
                3
            ),
            numbers
        );
        assert_eq!(
            read(&["0.png\t5", "", "\"1.png\" \"0\"", "2.png 11", ""], 3),
            numbers
        );
        assert_eq!(read(&["5", "\"0\"", " 11"], 3), numbers);
        let named = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        let birds = ["0.png,sea eagle", "1.png,\"auk, great\"", "2.png,sea eagle"];
        let expected = (vec![1, 0, 1], named(&["auk, great", "sea eagle"]));
        assert_eq!(read(&birds, 3), Ok(expected));
        let words = (vec![1, 0], named(&["a \"b\"", "class3"]));
        assert_eq!(read(&["class3", "\"a \"\"b\"\"\""], 2), Ok(words));
    }

    #[test]
    fn a_line_with_more_than_a_class_is_refused_with_its_line_and_image() {
        let refused = |lines: [&str; 2], image: &str| {
            let why = read(&lines, 2).unwrap_err();
            assert!(
                why.contains("line 2") && why.contains(image),
                "{lines:?}: {why}"
            );
            assert!(why.contains("more than a class"), "{lines:?}: {why}");
        };
        for second in [
            "./1.png,5",
            "img/1.png,5",
            "1,5",
            "1.png;5",
            "1 5",
            "1\t5",
            "a b",
        ] {
            refused(["5", second], "1.png");
        }
        for second in [
            "1.png,5,train",
            "1.png,5;2",
            "1.png,\"5\",\"2\"",
            "1.png 5 2",
        ] {
            refused(["0.png,5", second], "1.png");
        }
    }

    #[test]
    fn a_class_unlike_the_others_is_refused_with_its_line() {
        for class in [
            "-1",
            "1.5",
            "",
            "\"\"",
            "cat",
            "nan",
            "2.0",
            "99999999999999999999999",
        ] {
            let why = read(&["0.png,0", "1.png,5", &format!("2.png,{class}")], 3).unwrap_err();
            assert!(
                why.contains("line 3") && why.contains("2.png"),
                "{class}: {why}"
            );
            if !class.is_empty() && class != "\"\"" {
                let why = read(&["0", "5", class], 3).unwrap_err();
                assert!(
                    why.contains("line 3") && why.contains("2.png"),
                    "{class}: {why}"
                );
            }
        }
        for lines in [["cat", "dog", "3"], ["cat", "dog", "1.5"]] {
            let why = read(&lines, 3).unwrap_err();
            assert!(why.contains("line 3"), "{why}");
        }
        let why = read(&["1.0", "2.0", "10.0"], 3).unwrap_err();
        assert!(why.contains("line 1"), "{why}");
        let why = read(&["0", "", "1"], 3).unwrap_err();
        assert!(why.contains("line 2"), "{why}");
    }

    #[test]
    fn images_without_a_class_or_with_two_are_named() {
        let why = read(&["0.png,1", "2.png,1"], 3).unwrap_err();
        assert_eq!(why, "it has no class for 1.png");
        let why = read(&["0.png,1", "0.png,2"], 1).unwrap_err();
        assert_eq!(why, "line 2 gives 0.png a second class");
        let why = read(&["0", "1"], 3).unwrap_err();
        assert!(why.contains("2 lines are no classes of 3 images"), "{why}");
        assert!(
            read(&["0.png,1", "what"], 1)
                .unwrap_err()
                .contains("line 2")
        );
    }
}
