//! The text of a property: VNN-LIB 1.0, a part of SMT-LIB.
//!
//! A file is a list of commands in brackets. `(declare-const X_0 Real)` declares an input, `Y_0` an output;
//! `(assert C)` states a condition: `(<= A B)` or `(>= A B)` of two terms, `(and C ...)` or `(or C ...)`. A term is
//! a number, an input, an output, `(+ A ...)`, `(- A ...)` or `(* A ...)`, linear in inputs and outputs. `;` begins a
//! comment. Everything else is refused, so that no part of a property is overlooked.

mod linear;
#[cfg(test)]
mod tests;

use self::linear::{Linear, Variable, variable};

/// How deep conditions and terms may be nested.
const MAX_DEPTH: usize = 64;
/// The most inequalities of a file.
const MAX_INEQUALITIES: usize = 1 << 21;
/// The most inputs, and the most outputs.
const MAX_VARIABLES: usize = 1 << 20;
/// The most variables of all terms of a file together.
const MAX_TERMS: usize = 1 << 22;
/// The longest word that a message repeats.
const MAX_REPEATED: usize = 40;

/// What is wrong, and in which line.
#[derive(Debug, PartialEq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) why: String,
}

/// A condition on inputs and outputs.
#[derive(Debug, PartialEq)]
pub(super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    /// An input is at most this, or at least.
    Input {
        input: u32,
        end: End,
        bound: f64,
    },
    /// Outputs, each times a factor, sum to at most a number.
    Outputs(Box<OutputBound>),
    /// What no variable decides.
    Known(bool),
}

/// An end of an input's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Lower,
    Upper,
}

/// Outputs, each times a factor that is not 0, sum to at most `bound`. The outputs are in rising order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OutputBound {
    pub(super) factors: Vec<(usize, f64)>,
    pub(super) bound: f64,
}

/// A property's declarations and conditions, all of which hold.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Script {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) conditions: Vec<Condition>,
}

/// Reads the text of a property.
pub(super) fn parse(text: &str) -> Result<Script, Wrong> {
    let mut parser = Parser {
        text,
        at: 0,
        line: 1,
        inequalities: 0,
        terms: 0,
        declared: [Vec::new(), Vec::new()],
    };
    let mut script = Script::default();
    while let Some(token) = parser.token()? {
        if token != "(" {
            return Err(parser.wrong(format!(
                "a command begins with (, as in (assert (<= X_0 1)), not with {}",
                short(token)
            )));
        }
        match parser.word("a command")? {
            "declare-const" => parser.declaration()?,
            "assert" => {
                let condition = parser.condition(0)?;
                script.conditions.push(condition);
            }
            other => {
                return Err(parser.wrong(format!(
                    "{} is no command of VNN-LIB 1.0; it has declare-const and assert",
                    short(other)
                )));
            }
        }
        parser.close()?;
    }
    let [inputs, outputs] = &parser.declared;
    for (letter, declared) in [("X", inputs), ("Y", outputs)] {
        if declared.is_empty() {
            let what = if letter == "X" { "input" } else { "output" };
            return Err(parser.wrong(format!(
                "no {what} is declared; declare all, as in (declare-const {letter}_0 Real)"
            )));
        }
        if let Some(missing) = declared.iter().position(|known| !known) {
            return Err(parser.wrong(format!(
                "{letter}_{} is declared and {letter}_{missing} is not; number them from 0 without a gap",
                declared.len() - 1
            )));
        }
    }
    (script.inputs, script.outputs) = (inputs.len(), outputs.len());
    Ok(script)
}

struct Parser<'t> {
    text: &'t str,
    /// The byte that comes next.
    at: usize,
    /// Its line, from 1.
    line: usize,
    inequalities: usize,
    terms: usize,
    /// Which inputs are declared, and which outputs.
    declared: [Vec<bool>; 2],
}

impl<'t> Parser<'t> {
    fn wrong(&self, why: impl Into<String>) -> Wrong {
        Wrong {
            line: self.line,
            why: why.into(),
        }
    }

    /// A bracket or a word; None at the end of the file.
    fn token(&mut self) -> Result<Option<&'t str>, Wrong> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => {
                    let rest = &bytes[self.at..];
                    let length = rest.iter().position(|&byte| byte == b'\n');
                    self.at += length.unwrap_or(rest.len());
                }
                b'(' | b')' => {
                    self.at += 1;
                    return Ok(Some(&self.text[self.at - 1..self.at]));
                }
                _ => {
                    let rest = &bytes[self.at..];
                    let ends = |byte: &u8| {
                        matches!(byte, b'(' | b')' | b';') || byte.is_ascii_whitespace()
                    };
                    let length = rest.iter().position(ends).unwrap_or(rest.len());
                    if length == 0 {
                        return Err(self.wrong("there is a control character; write plain text"));
                    }
                    let start = self.at;
                    self.at += length;
                    return Ok(Some(&self.text[start..self.at]));
                }
            }
        }
        Ok(None)
    }

    fn next(&mut self, wanted: &str) -> Result<&'t str, Wrong> {
        match self.token()? {
            Some(token) => Ok(token),
            None => Err(self.wrong(format!("the file ends where {wanted} should be"))),
        }
    }

    fn word(&mut self, wanted: &str) -> Result<&'t str, Wrong> {
        match self.next(wanted)? {
            bracket @ ("(" | ")") => {
                Err(self.wrong(format!("{bracket} stands where {wanted} should be")))
            }
            word => Ok(word),
        }
    }

    fn close(&mut self) -> Result<(), Wrong> {
        match self.next(")")? {
            ")" => Ok(()),
            other => Err(self.wrong(format!("{} stands where ) should be", short(other)))),
        }
    }

    /// The rest of a declaration, behind its first word.
    fn declaration(&mut self) -> Result<(), Wrong> {
        let name = self.word("the name of an input or output")?;
        let Some(variable) = variable(name) else {
            return Err(self.wrong(format!(
                "{} is no name of an input (X_0, X_1, ...) or output (Y_0, Y_1, ...)",
                short(name)
            )));
        };
        let (kind, index) = match variable {
            Variable::Input(index) => (0, index),
            Variable::Output(index) => (1, index),
        };
        if index >= MAX_VARIABLES {
            return Err(self.wrong(format!("{name} is beyond the {MAX_VARIABLES} allowed")));
        }
        let declared = &mut self.declared[kind];
        if declared.len() <= index {
            declared.resize(index + 1, false);
        }
        if std::mem::replace(&mut declared[index], true) {
            return Err(self.wrong(format!("{name} is declared a second time")));
        }
        match self.word("Real")? {
            "Real" => Ok(()),
            sort => Err(self.wrong(format!("{name} is declared {}, not Real", short(sort)))),
        }
    }

    /// A condition, from its bracket to its end.
    fn condition(&mut self, depth: usize) -> Result<Condition, Wrong> {
        match self.next("a condition")? {
            "(" => {}
            other => {
                return Err(self.wrong(format!(
                    "{} stands where a condition should be, as in (<= Y_0 1)",
                    short(other)
                )));
            }
        }
        self.check_depth(depth)?;
        match self.word("and, or, <= or >=")? {
            "and" => Ok(Condition::And(self.conditions("and", depth)?)),
            "or" => Ok(Condition::Or(self.conditions("or", depth)?)),
            relation @ ("<=" | ">=") => {
                let left = self.term(depth + 1)?;
                let right = self.term(depth + 1)?;
                self.close()?;
                // What is at most 0.
                let difference = match relation {
                    "<=" => left.plus(right.scaled(-1.0)),
                    _ => right.plus(left.scaled(-1.0)),
                };
                self.inequality(difference)
            }
            other => Err(self.wrong(format!(
                "{} is no condition of VNN-LIB 1.0; it has and, or, <= and >=",
                short(other)
            ))),
        }
    }

    fn check_depth(&self, depth: usize) -> Result<(), Wrong> {
        if depth < MAX_DEPTH {
            return Ok(());
        }
        Err(self.wrong(format!("it is nested more than {MAX_DEPTH} deep")))
    }

    /// The conditions up to the closing bracket, at least one.
    fn conditions(&mut self, name: &str, depth: usize) -> Result<Vec<Condition>, Wrong> {
        let mut conditions = Vec::new();
        while !self.closes()? {
            conditions.push(self.condition(depth + 1)?);
        }
        if conditions.is_empty() {
            return Err(self.wrong(format!("({name}) has no condition")));
        }
        Ok(conditions)
    }

    /// Whether a bracket closes here; it is passed then.
    fn closes(&mut self) -> Result<bool, Wrong> {
        let before = (self.at, self.line);
        let token = self.next(")")?;
        if token == ")" {
            return Ok(true);
        }
        (self.at, self.line) = before;
        Ok(false)
    }

    /// A linear function of inputs and outputs.
    fn term(&mut self, depth: usize) -> Result<Linear, Wrong> {
        let token = self.next("a term")?;
        match token {
            "(" => {}
            ")" => return Err(self.wrong(") stands where a term should be")),
            word => return self.atom(word),
        }
        self.check_depth(depth)?;
        let operator = self.word("+, - or *")?;
        if !matches!(operator, "+" | "-" | "*") {
            return Err(self.wrong(format!(
                "{} is no operator here; terms are sums, differences and products with numbers",
                short(operator)
            )));
        }
        let first = self.term(depth + 1)?;
        let mut others = Vec::new();
        while !self.closes()? {
            others.push(self.term(depth + 1)?);
        }
        match operator {
            "+" => Ok(others.into_iter().fold(first, Linear::plus)),
            "-" if others.is_empty() => Ok(first.scaled(-1.0)),
            "-" => {
                let others = others.into_iter();
                Ok(others.fold(first, |sum, other| sum.plus(other.scaled(-1.0))))
            }
            _ => self.product(first, others),
        }
    }

    /// The product of terms, of which at most one is no number.
    fn product(&self, first: Linear, others: Vec<Linear>) -> Result<Linear, Wrong> {
        let (mut number, mut function) = (1.0, None);
        for factor in std::iter::once(first).chain(others) {
            if factor.factors.is_empty() {
                number *= factor.constant;
            } else if function.replace(factor).is_some() {
                return Err(self.wrong(
                    "a product of two inputs or outputs is not linear; only products with numbers can be \
                     verified",
                ));
            }
        }
        Ok(match function {
            Some(function) => function.scaled(number),
            None => Linear {
                factors: Vec::new(),
                constant: number,
            },
        })
    }

    /// A number, an input or an output.
    fn atom(&mut self, word: &str) -> Result<Linear, Wrong> {
        if let Some(variable) = variable(word) {
            let (kind, index) = match variable {
                Variable::Input(index) => (0, index),
                Variable::Output(index) => (1, index),
            };
            if !self.declared[kind].get(index).is_some_and(|known| *known) {
                return Err(self.wrong(format!("{} is not declared", short(word))));
            }
            self.terms += 1;
            if self.terms > MAX_TERMS {
                return Err(self.wrong(format!("there are more than {MAX_TERMS} terms")));
            }
            return Ok(Linear {
                factors: vec![(variable, 1.0)],
                constant: 0.0,
            });
        }
        let digits = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let is_number = word.as_bytes().iter().all(digits);
        let number: Option<f64> = if is_number { word.parse().ok() } else { None };
        match number.filter(|number| number.is_finite()) {
            Some(constant) => Ok(Linear {
                factors: Vec::new(),
                constant,
            }),
            None => Err(self.wrong(format!(
                "{} is neither a number nor the name of an input or output",
                short(word)
            ))),
        }
    }

    /// The condition that a function is at most 0.
    fn inequality(&mut self, function: Linear) -> Result<Condition, Wrong> {
        self.inequalities += 1;
        if self.inequalities > MAX_INEQUALITIES {
            return Err(self.wrong(format!(
                "there are more than {MAX_INEQUALITIES} inequalities"
            )));
        }
        let function = function.collected();
        if !function.is_finite() {
            return Err(self.wrong("its numbers are too large"));
        }
        let bound = 0.0 - function.constant;
        match function.factors[..] {
            [] => Ok(Condition::Known(bound >= 0.0)),
            [(Variable::Input(input), factor)] => Ok(Condition::Input {
                input: input as u32,
                end: if factor > 0.0 { End::Upper } else { End::Lower },
                bound: self.quotient(bound, factor)?,
            }),
            _ => {
                let factors = function.factors.iter();
                let outputs = factors.map(|&(variable, factor)| match variable {
                    Variable::Output(output) => Some((output, factor)),
                    Variable::Input(_) => None,
                });
                let factors: Option<Vec<_>> = outputs.collect();
                let factors = factors.ok_or_else(|| {
                    self.wrong(
                        "an inequality of several inputs, or of inputs and outputs, can't be verified; \
                         only ranges of single inputs and conditions on outputs can",
                    )
                })?;
                Ok(Condition::Outputs(Box::new(OutputBound { factors, bound })))
            }
        }
    }

    /// An input's bound, which is exact for the factors 1 and -1.
    fn quotient(&self, bound: f64, factor: f64) -> Result<f64, Wrong> {
        let quotient = bound / factor;
        if quotient.is_finite() {
            return Ok(quotient);
        }
        Err(self.wrong("its numbers are too large"))
    }
}

/// A word as a message repeats it.
fn short(word: &str) -> String {
    let mut letters = word.chars();
    let beginning: String = letters.by_ref().take(MAX_REPEATED).collect();
    let rest = if letters.next().is_some() { "..." } else { "" };
    format!("`{beginning}{rest}`")
}
