//! The tool's own search in each norm.

use super::SearchOptions;
use super::batch::Search;
use super::norms::{Measure, Norm};
use super::slp::Slp;
use super::sparse::Sparse;
use super::sqp::Sqp;
use super::task::{Effort, Task};

/// The search for one image and one objective, in the norm of its task.
pub(super) struct Local {
    search: Kind,
    /// Ends the search once it has found something near enough.
    enough: Option<Enough>,
}

enum Kind {
    /// In L2.
    Sqp(Box<Sqp>),
    /// In Linf and L1.
    Slp(Box<Slp>),
    /// In L0.
    Sparse(Box<Sparse>),
}

/// What is near enough to an original.
struct Enough {
    norm: f64,
    measure: Measure,
    original: Vec<f32>,
}

impl Local {
    /// The search from an original, in the memory of one that has ended where that has use for it.
    pub(super) fn new(task: &Task<'_>, options: &SearchOptions, recycled: Option<Local>) -> Self {
        let search = match task.measure.norm {
            Norm::L2 => Kind::Sqp(Box::new(Sqp::new(task, options, of_sqp(recycled)))),
            Norm::Linf | Norm::L1 => Kind::Slp(Box::new(Slp::new(task, options))),
            Norm::L0 => Kind::Sparse(Box::new(Sparse::new(task, options))),
        };
        Local::until_enough(search, task, options)
    }

    /// The search that goes on from a point that reaches the objective.
    pub(super) fn from(
        point: &[f32],
        task: &Task<'_>,
        options: &SearchOptions,
        recycled: Option<Local>,
    ) -> Self {
        let search = match task.measure.norm {
            Norm::L2 => Kind::Sqp(Box::new(Sqp::from(point, task, options, of_sqp(recycled)))),
            Norm::Linf | Norm::L1 => Kind::Slp(Box::new(Slp::from(point, task, options))),
            Norm::L0 => Kind::Sparse(Box::new(Sparse::from(point, task, options))),
        };
        Local::until_enough(search, task, options)
    }

    /// The search from so many starts around a point that reaches the objective, a local minimum; in L2 and L0 the
    /// search from that point.
    pub(super) fn around(
        point: &[f32],
        starts: u32,
        task: &Task<'_>,
        options: &SearchOptions,
        recycled: Option<Local>,
    ) -> Self {
        match task.measure.norm {
            Norm::Linf | Norm::L1 => {
                let search = Slp::around(point, starts, task, options);
                Local::until_enough(Kind::Slp(Box::new(search)), task, options)
            }
            Norm::L2 | Norm::L0 => Local::from(point, task, options, recycled),
        }
    }

    fn until_enough(search: Kind, task: &Task<'_>, options: &SearchOptions) -> Self {
        let enough = options.enough.map(|norm| Enough {
            norm,
            measure: task.measure,
            original: task.original.to_vec(),
        });
        Local { search, enough }
    }

    /// Whether what was found is near enough.
    fn is_enough(&self) -> bool {
        let Some(enough) = &self.enough else {
            return false;
        };
        let best = self.best();
        best.is_some_and(|best| enough.measure.of(&enough.original, best) <= enough.norm)
    }

    fn search(&self) -> &dyn Search {
        match &self.search {
            Kind::Sqp(search) => &**search,
            Kind::Slp(search) => &**search,
            Kind::Sparse(search) => &**search,
        }
    }

    fn search_mut(&mut self) -> &mut dyn Search {
        match &mut self.search {
            Kind::Sqp(search) => &mut **search,
            Kind::Slp(search) => &mut **search,
            Kind::Sparse(search) => &mut **search,
        }
    }
}

/// The search whose memory one in L2 takes over.
fn of_sqp(recycled: Option<Local>) -> Option<Sqp> {
    match recycled?.search {
        Kind::Sqp(search) => Some(*search),
        Kind::Slp(_) | Kind::Sparse(_) => None,
    }
}

impl Search for Local {
    fn point(&self) -> &[f32] {
        self.search().point()
    }

    fn take_outputs(&mut self, outputs: &[f32], gradient: &mut [f32]) {
        self.search_mut().take_outputs(outputs, gradient);
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        self.search_mut().take_gradient(gradient) && !self.is_enough()
    }

    fn best(&self) -> Option<&[f32]> {
        self.search().best()
    }

    fn effort(&self) -> Effort {
        self.search().effort()
    }

    fn is_kinked(&self) -> bool {
        self.search().is_kinked()
    }
}
