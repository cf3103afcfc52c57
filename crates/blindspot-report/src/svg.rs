//! Drawings as SVG, which is XML.

use std::fmt::{Display, Write};

use crate::colours::{PAPER, class};

/// A drawing under way: elements one below the other, in the order of drawing.
pub(crate) struct Canvas {
    body: String,
    /// Digits after the point of coordinates.
    decimals: usize,
}

/// How words are written.
#[derive(Clone, Copy)]
pub(crate) struct Style<'a> {
    /// Which end of the words stands at the place given: `start`, `middle` or `end`.
    pub(crate) anchor: &'static str,
    pub(crate) fill: &'a str,
    /// The height of the letters; that of the drawing if `None`.
    pub(crate) size: Option<u32>,
}

/// What a drawing is, and how large.
pub(crate) struct Frame<'a> {
    pub(crate) title: &'a str,
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// Whether it is shown in that size; else it takes the room that there is.
    pub(crate) fixed: bool,
    /// The height of letters whose style has none.
    pub(crate) font_size: Option<u32>,
}

impl Canvas {
    /// A drawing in a file of its own, coordinates with `decimals` digits after the point.
    pub(crate) fn new(decimals: usize) -> Canvas {
        Canvas {
            body: String::new(),
            decimals,
        }
    }

    fn number(&self, value: f64) -> String {
        format!("{value:.*}", self.decimals)
    }

    /// Any element by its attributes; the title, if any, is shown where the pointer rests.
    pub(crate) fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, &dyn Display)],
        title: Option<&str>,
    ) {
        self.open(name, attributes);
        self.body += &match title {
            Some(title) => format!("><title>{}</title></{name}>", escape(title)),
            None => "/>".to_owned(),
        };
        self.body.push('\n');
    }

    /// Begins an element. What is filled or drawn in a colour that pages have their own of is in its class.
    fn open(&mut self, name: &str, attributes: &[(&str, &dyn Display)]) {
        let _ = write!(self.body, "<{name}");
        for (attribute, value) in attributes {
            let value = value.to_string();
            let _ = write!(self.body, " {attribute}=\"{}\"", escape(&value));
            if matches!(*attribute, "fill" | "stroke")
                && let Some(class) = class(&value)
            {
                let _ = write!(self.body, " class=\"{class}\"");
            }
        }
    }

    /// An element that holds words, by its attributes.
    pub(crate) fn words(&mut self, attributes: &[(&str, &dyn Display)], words: &str) {
        self.open("text", attributes);
        let _ = writeln!(self.body, ">{}</text>", escape(words));
    }

    /// Words at a place.
    pub(crate) fn text(&mut self, [x, y]: [f64; 2], style: Style<'_>, words: &str) {
        let (x, y) = (self.number(x), self.number(y));
        let size = style.size.unwrap_or(0);
        let mut attributes: Vec<(&str, &dyn Display)> = vec![
            ("x", &x),
            ("y", &y),
            ("text-anchor", &style.anchor),
            ("fill", &style.fill),
        ];
        if style.size.is_some() {
            attributes.push(("font-size", &size));
        }
        self.words(&attributes, words);
    }

    /// A straight line.
    pub(crate) fn line(&mut self, from: [f64; 2], to: [f64; 2], stroke: &str, width: f64) {
        let [x1, y1, x2, y2] = [from[0], from[1], to[0], to[1]].map(|value| self.number(value));
        let attributes: [(&str, &dyn Display); 6] = [
            ("x1", &x1),
            ("y1", &y1),
            ("x2", &x2),
            ("y2", &y2),
            ("stroke", &stroke),
            ("stroke-width", &width),
        ];
        self.element("line", &attributes, None);
    }

    /// A line through several points.
    pub(crate) fn polyline(&mut self, points: &[[f64; 2]], stroke: &str, width: f64) {
        let point = |&[x, y]: &[f64; 2]| format!("{},{}", self.number(x), self.number(y));
        let points: Vec<String> = points.iter().map(point).collect();
        let attributes: [(&str, &dyn Display); 4] = [
            ("points", &points.join(" ")),
            ("fill", &"none"),
            ("stroke", &stroke),
            ("stroke-width", &width),
        ];
        self.element("polyline", &attributes, None);
    }

    /// The drawing as a file, on white paper.
    pub(crate) fn finish(self, frame: &Frame<'_>) -> String {
        let Frame {
            title,
            width,
            height,
            fixed,
            font_size,
        } = frame;
        let size = if *fixed {
            format!(" width=\"{width}\" height=\"{height}\"")
        } else {
            String::new()
        };
        let font = font_size.map_or(String::new(), |size| format!(" font-size=\"{size}\""));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\"{size} \
             role=\"img\" font-family=\"system-ui, sans-serif\"{font}>\n<title>{}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"{PAPER}\" class=\"{}\"/>\n{}</svg>\n",
            escape(title),
            class(PAPER).unwrap_or_default(),
            self.body
        )
    }

    /// The drawing as a part of a page, and as a file on white paper.
    pub(crate) fn finish_both(self, frame: &Frame<'_>) -> [String; 2] {
        let inline = Canvas {
            body: self.body.clone(),
            ..self
        };
        let size = [frame.width, frame.height];
        let inline = inline.finish_inline(size, frame.title);
        [inline, self.finish(frame)]
    }

    /// The drawing as a part of a page, in the page's colours; `label` says what it shows.
    pub(crate) fn finish_inline(self, [width, height]: [f64; 2], label: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">{}</svg>",
            escape(label),
            self.body
        )
    }
}

/// Text as XML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_xml_whatever_its_words() {
        let words = "a <b> & \"c\"";
        let style = Style {
            anchor: "start",
            fill: "#000000",
            size: None,
        };
        let mut canvas = Canvas::new(1);
        canvas.text([1.0, 2.25], style, words);
        canvas.element("circle", &[("data-name", &words)], Some(words));
        canvas.polyline(&[[0.0, 1.0], [2.0, 3.0]], "#ffffff", 1.5);
        let svg = canvas.finish(&Frame {
            title: words,
            width: 10.0,
            height: 5.5,
            fixed: true,
            font_size: Some(12),
        });
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts = document.descendants().filter(|node| node.is_text());
        let texts = texts.filter_map(|node| node.text());
        let said = texts.filter(|text| *text == words).count();
        assert_eq!(said, 3, "{svg}");
        assert!(svg.contains("<text x=\"1.0\" y=\"2.2\" text-anchor=\"start\""));
        assert!(svg.contains("points=\"0.0,1.0 2.0,3.0\""));
    }
}
