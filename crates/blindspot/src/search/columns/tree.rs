//! The search of one row for whole numbers and categories.
//!
//! For one choice of the categories the whole numbers are searched for by branch and bound: the search between them
//! (the relaxation) tells how near an answer can be, the value that is farthest from a whole number is fixed at the two
//! next to it, and from there outwards as long as that can still be nearer (the enumeration of Schnorr and Euchner
//! 1994). Of linear models that finds the optimum; elsewhere the relaxation is a local minimum, and the bound a guess.
//!
//! All choices of the categories are tried where they are few. Of many, those with one category changed come first, then
//! one more is changed in those that were nearest, and so on.
//!
//! Where nothing is found so, all whole numbers and categories are judged if they are few.

use std::collections::BTreeSet;
use std::sync::Arc;

use blindspot_data::ColumnKind;
use blindspot_model::classifier::ClassifierError;

use super::lattice::Lattice;
use crate::search::block::Searcher;
use crate::search::bounds::FeasibleBox;
use crate::search::local::Local;
use crate::search::objective::Objective;
use crate::search::runtime::Judge;
use crate::search::task::{Effort, StopCondition, Task};
use crate::search::verify::{self, Candidate};
use crate::search::{Example, SearchOptions, batch};

/// Choices of categories that are all tried.
const FEW: usize = 64;
/// Of more, how many are searched from at each number of changes, and how many of these lead on.
const SEARCHED: usize = 24;
const KEPT: usize = 8;
/// Searches between whole numbers for one row at most, once something is found; and before that.
const SEARCHES: usize = 400;
const SEARCHES_WITHOUT: usize = 2000;
/// Whole numbers and categories together that are all judged where no search found any.
const ENUMERATED: usize = 1 << 12;
/// What is not nearer by this share is not nearer.
const NEARER: f64 = 1.0 - 1e-7;

/// Some values fixed, the others free.
#[derive(Clone)]
struct Node {
    /// The values that are fixed, 0 for the others.
    point: Vec<f32>,
    fixed: Vec<bool>,
}

/// Each node with each value set.
fn each<T: Copy>(
    nodes: &[Node],
    values: impl Iterator<Item = T> + Clone,
    set: impl Fn(&mut Node, T),
) -> Vec<Node> {
    let pairs = nodes
        .iter()
        .flat_map(|node| values.clone().map(move |value| (node, value)));
    let with = |(node, value): (&Node, T)| {
        let mut node = node.clone();
        set(&mut node, value);
        node
    };
    pairs.map(with).collect()
}

/// What a search between whole numbers found, and how far it is.
type Relaxed = Option<(f64, Vec<f32>)>;

/// The search for one row.
pub(super) struct Tree<'t> {
    lattice: &'t Lattice<'t>,
    searcher: &'t Searcher<'t>,
    options: SearchOptions,
    judge: Judge<'t>,
    stop: StopCondition<'t>,
    objective: Objective,
    lead: f64,
    /// What is known of the row.
    example: Example,
    /// The nearest that holds, and how far it is.
    pub(super) best: Option<(f64, Example)>,
    searches: usize,
    pub(super) effort: Effort,
}

impl<'t> Tree<'t> {
    pub(super) fn new(
        lattice: &'t Lattice<'t>,
        searcher: &'t Searcher<'t>,
        example: &Example,
        stop: StopCondition<'t>,
    ) -> Result<Tree<'t>, ClassifierError> {
        let mut judge = searcher.runtime.judge();
        judge
            .evaluate(&vec![0.0; example.adversarial.len()], 0.0)
            .map_err(|error| error.of_input(|_| example.index))?;
        let mut options = searcher.options.clone();
        options.enough = None;
        let objectives = options.objectives(example.label, example.position, judge.outputs());
        Ok(Tree {
            lattice,
            searcher,
            objective: objectives[0],
            lead: judge.lead(),
            options,
            judge,
            stop,
            example: Example {
                evaluations: 0,
                gradients: 0,
                ..example.clone()
            },
            best: None,
            searches: 0,
            effort: Effort {
                evaluations: example.evaluations,
                gradients: example.gradients,
            },
        })
    }

    /// Searches from all choices of categories, the most promising first.
    pub(super) fn search(&mut self, found: &Example) -> Result<(), ClassifierError> {
        let mut choices = self.choices()?;
        if found.success && choices[0].1.is_none() {
            // Found by another method.
            let point = found.adversarial.clone();
            let distance = self.lattice.distance(&self.options, &point);
            choices[0].1 = Some((distance, point));
        }
        choices.retain(|(_, relaxed)| relaxed.is_some());
        let distance = |relaxed: &Relaxed| relaxed.as_ref().map_or(f64::INFINITY, |found| found.0);
        choices.sort_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)));
        for (node, relaxed) in choices {
            self.descend(&node, relaxed)?;
        }
        Ok(())
    }

    /// Choices of the categories, that of the row first, with what was found between whole numbers for each.
    fn choices(&mut self) -> Result<Vec<(Node, Relaxed)>, ClassifierError> {
        let groups = self.lattice.groups();
        let root = self.root();
        let relaxed = self.relax(&root)?;
        let mut all = vec![(root.clone(), relaxed)];
        let sizes = groups.iter().map(|group| group.len());
        let are_few = sizes.fold(1, |product: usize, size| product.saturating_mul(size)) <= FEW;
        let mut level = vec![root];
        let mut seen = BTreeSet::new();
        let mut nearest = f64::INFINITY;
        for _ in 0..groups.len() {
            let mut children = Vec::new();
            for node in &level {
                for group in &groups {
                    if self.lattice.chosen(group, &node.point)
                        != self.lattice.chosen(group, &vec![0.0; node.point.len()])
                    {
                        continue;
                    }
                    let own = self.lattice.chosen(group, &node.point);
                    for category in (0..group.len()).filter(|&category| category != own) {
                        let mut child = node.clone();
                        self.lattice.choose(group, category, &mut child.point);
                        let key: Vec<usize> = groups
                            .iter()
                            .map(|group| self.lattice.chosen(group, &child.point))
                            .collect();
                        if seen.insert(key) {
                            children.push(child);
                        }
                    }
                }
            }
            let mut ranked = Vec::with_capacity(children.len());
            for child in children {
                let margin = self.margin(&child.point)?;
                ranked.push((margin, child));
            }
            if !are_few {
                ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
                ranked.truncate(SEARCHED);
            }
            let mut searched = Vec::with_capacity(ranked.len());
            for (margin, child) in ranked {
                let relaxed = self.relax(&child)?;
                let distance = relaxed.as_ref().map_or(f64::INFINITY, |found| found.0);
                searched.push((distance, margin, child.clone()));
                all.push((child, relaxed));
            }
            if !are_few {
                searched.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
                searched.truncate(KEPT);
                let least = searched.first().map_or(f64::INFINITY, |first| first.0);
                if least >= nearest && nearest.is_finite() {
                    break;
                }
                nearest = nearest.min(least);
            }
            level = searched.into_iter().map(|(_, _, child)| child).collect();
        }
        Ok(all)
    }

    /// The row as it is: its categories are fixed, its numbers free.
    fn root(&self) -> Node {
        let length = self.example.adversarial.len();
        let mut fixed = vec![false; length];
        for column in self.lattice.columns {
            if matches!(column.kind, ColumnKind::Category { .. }) {
                column.inputs.iter().for_each(|&input| fixed[input] = true);
            }
        }
        Node {
            point: vec![0.0; length],
            fixed,
        }
    }

    /// The margin at a point.
    fn margin(&mut self, point: &[f32]) -> Result<f64, ClassifierError> {
        let index = self.example.index;
        self.judge
            .evaluate(point, 0.0)
            .map_err(|error| error.of_input(|_| index))?;
        self.effort.evaluations += 1;
        Ok(self.objective.margin(self.judge.exact_outputs()))
    }

    /// Judges all whole numbers and categories, where they are few, with the other values as the row has them; keeps the
    /// nearest.
    pub(super) fn enumerate(&mut self) -> Result<(), ClassifierError> {
        let (lattice, groups) = (self.lattice, self.lattice.groups());
        let mut nodes = vec![self.root()];
        for input in lattice.integers() {
            let [lower, upper] = lattice.moves.limits(input);
            let count = f64::from(upper.floor()) - f64::from(lower.ceil()) + 1.0;
            if count * nodes.len() as f64 > ENUMERATED as f64 {
                return Ok(());
            }
            let values = (0..count as usize).map(|i| lower.ceil() + i as f32);
            nodes = each(&nodes, values, |node, value| {
                node.point[input] = lattice.moves.to(input, value);
                node.fixed[input] = true;
            });
        }
        for group in groups {
            if group.len() * nodes.len() > ENUMERATED {
                return Ok(());
            }
            nodes = each(&nodes, 0..group.len(), |node, category| {
                lattice.choose(group, category, &mut node.point);
            });
        }
        let mut reached = Vec::new();
        for node in nodes {
            if self.is_over() {
                break;
            }
            self.margin(&node.point)?;
            if self.judge.reached(self.objective) {
                reached.push((lattice.distance(&self.options, &node.point), node));
            }
        }
        reached.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        for (_, node) in reached {
            self.offer(&node, node.point.clone())?;
            if self.best.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Whether no more is to be searched.
    fn is_over(&self) -> bool {
        let most = if self.best.is_some() {
            SEARCHES
        } else {
            SEARCHES_WITHOUT
        };
        self.searches >= most
            || self.effort.evaluations >= self.lattice.max_evaluations
            || self.stop.monitor.cancelled()
            || self.stop.timed_out()
            || self.is_enough()
    }

    /// Whether what was found is near enough.
    fn is_enough(&self) -> bool {
        let enough = self.searcher.options.enough;
        let best = self.best.as_ref().map(|(distance, _)| *distance);
        best.zip(enough)
            .is_some_and(|(best, enough)| best <= enough)
    }

    /// Whether a distance is less than that of the best.
    fn is_nearer(&self, distance: f64) -> bool {
        let best = self.best.as_ref();
        best.is_none_or(|(best, _)| distance < NEARER * best)
    }

    /// The nearest point with the values that a node fixes, whether the others are whole numbers or not.
    fn relax(&mut self, node: &Node) -> Result<Relaxed, ClassifierError> {
        let distance = self.lattice.distance(&self.options, &node.point);
        if !self.is_nearer(distance) {
            return Ok(None);
        }
        self.margin(&node.point)?;
        if self.judge.reached(self.objective) {
            return Ok(Some((distance, node.point.clone())));
        }
        let feasible_box = self.feasible_box(node);
        if self.is_over() || feasible_box.widest == 0.0 {
            return Ok(None);
        }
        self.searches += 1;
        let left = self.lattice.max_evaluations;
        let task = Task {
            original: &node.point,
            begin: None,
            index: self.example.index,
            objective: self.objective,
            measure: self.options.measure(self.searcher.classifier.input_shape()),
            lead: self.lead,
            feasible_box: Arc::new(feasible_box),
            max_evaluations: left.saturating_sub(self.effort.evaluations).max(1),
        };
        let start = |_: usize, recycled| Local::new(&task, &self.options, recycled);
        let found = batch::run(self.searcher.classifier, 1, start, self.stop)
            .map_err(|error| error.of_input(|_| task.index))?;
        let Some(found) = found.into_iter().flatten().next() else {
            return Ok(None);
        };
        self.effort += found.effort;
        Ok(found.adversarial.map(|point| {
            let distance = self.lattice.distance(&self.options, &point);
            (distance, point)
        }))
    }

    /// Where the values of a node may be.
    fn feasible_box(&self, node: &Node) -> FeasibleBox {
        let bounds = self.lattice.moves.bounds();
        let end = |ends: Vec<f32>| {
            let ends = ends.into_iter().enumerate();
            let ends = ends.map(|(i, end)| if node.fixed[i] { node.point[i] } else { end });
            ends.collect()
        };
        FeasibleBox::new(end(bounds.lower), end(bounds.upper))
    }

    /// Goes down from a node to whole numbers; gives how far the point between them is.
    fn explore(&mut self, node: &Node) -> Result<f64, ClassifierError> {
        let relaxed = self.relax(node)?;
        self.descend(node, relaxed)
    }

    fn descend(&mut self, node: &Node, relaxed: Relaxed) -> Result<f64, ClassifierError> {
        let Some((distance, point)) = relaxed.filter(|found| self.is_nearer(found.0)) else {
            return Ok(f64::INFINITY);
        };
        let row = self.lattice.moves.row(&point);
        let free = self.lattice.integers().filter(|&input| !node.fixed[input]);
        let off = |input: usize| (row[input] - row[input].round()).abs();
        let Some(input) = free.max_by(|&a, &b| off(a).total_cmp(&off(b))) else {
            self.offer(node, point)?;
            return Ok(distance);
        };
        if off(input) == 0.0 {
            // All of them are whole.
            let mut whole = node.clone();
            for input in self.lattice.integers() {
                whole.point[input] = point[input];
                whole.fixed[input] = true;
            }
            self.offer(&whole, point)?;
            return Ok(distance);
        }
        let [lower, upper] = self.lattice.moves.limits(input);
        let mut next = [Some(row[input].floor()), Some(row[input].floor() + 1.0)];
        loop {
            let inside = |value: &f32| (lower..=upper).contains(value);
            next = next.map(|value| value.filter(inside));
            let far = |side: usize| next[side].map_or(f32::INFINITY, |v| (v - row[input]).abs());
            let side = usize::from(far(1) < far(0));
            let Some(value) = next[side] else { break };
            let mut child = node.clone();
            child.point[input] = self.lattice.moves.to(input, value);
            child.fixed[input] = true;
            let distance = self.explore(&child)?;
            let outwards = [value - 1.0, value + 1.0][side];
            next[side] = (distance.is_finite() && self.is_nearer(distance)).then_some(outwards);
        }
        Ok(distance)
    }

    /// Judges a point whose whole numbers and categories a node fixes, and keeps it if it is the nearest.
    fn offer(&mut self, node: &Node, point: Vec<f32>) -> Result<(), ClassifierError> {
        let feasible_box = self.feasible_box(node);
        let mut example = Example {
            adversarial: point,
            already_misclassified: false,
            noise: 0.0,
            kkt_residual: 0.0,
            ..self.example.clone()
        };
        let measure = self.options.measure(self.searcher.classifier.input_shape());
        example.measure(&node.point, measure);
        let (mut refuted, mut left_out) = (false, false);
        let candidate = Candidate {
            example: &mut example,
            original: &node.point,
            feasible_box: &feasible_box,
            refuted: &mut refuted,
            left_out: &mut left_out,
        };
        let (runtime, options) = (&self.searcher.runtime, &self.options);
        verify::verify(runtime, options, vec![candidate], None)?;
        let distance = self.lattice.distance(&self.options, &example.adversarial);
        if example.success && self.is_nearer(distance) {
            example.no_gradient = false;
            self.best = Some((distance, example));
        }
        Ok(())
    }

    /// Undoes what need not be changed: as long as that is nearer, gives a column its own value again, or a whole number
    /// the next one on the way to that.
    pub(super) fn polish(&mut self) -> Result<(), ClassifierError> {
        loop {
            let Some((before, best)) = &self.best else {
                return Ok(());
            };
            let (before, point) = (*before, best.adversarial.clone());
            for node in self.undone(&point) {
                let distance = self.lattice.distance(&self.options, &node.point);
                if self.is_nearer(distance)
                    && let Some((_, point)) = self.relax(&node)?
                {
                    self.offer(&node, point)?;
                }
            }
            let is_better = self.best.as_ref().is_some_and(|(after, _)| *after < before);
            if !is_better || self.is_over() {
                return Ok(());
            }
        }
    }

    /// The nodes that fix all whole numbers and categories as a point has them, but for one that is nearer to the row's.
    fn undone(&self, point: &[f32]) -> Vec<Node> {
        let mut own = self.root();
        for (input, &moved) in point.iter().enumerate() {
            if own.fixed[input] {
                own.point[input] = moved;
            }
        }
        for input in self.lattice.integers() {
            own.point[input] = point[input];
            own.fixed[input] = true;
        }
        let (moves, row) = (self.lattice.moves, self.lattice.moves.row(point));
        let mut nodes = Vec::new();
        for input in self.lattice.integers() {
            let (from, to) = (moves.original()[input], row[input]);
            let step = to + (from - to).signum();
            let nearer = [from, step];
            for value in nearer
                .into_iter()
                .filter(|&value| value != to && from != to)
            {
                let mut node = own.clone();
                node.point[input] = moves.to(input, value);
                nodes.push(node);
            }
        }
        for group in self.lattice.groups() {
            if group.iter().any(|&input| point[input] != 0.0) {
                let mut node = own.clone();
                group.iter().for_each(|&input| node.point[input] = 0.0);
                nodes.push(node);
            }
        }
        nodes
    }
}
