//! The tool's own search in each norm.

use super::SearchOptions;
use super::batch::Search;
use super::norms::Norm;
use super::slp::Slp;
use super::sparse::Sparse;
use super::sqp::Sqp;
use super::task::{Effort, Task};

/// The search for one image and one objective, in the norm of its task.
pub(super) enum Local {
    /// In L2.
    Sqp(Box<Sqp>),
    /// In Linf and L1.
    Slp(Box<Slp>),
    /// In L0.
    Sparse(Box<Sparse>),
}

impl Local {
    /// The search from an original, in the memory of one that has ended where that has use for it.
    pub(super) fn new(task: &Task<'_>, options: &SearchOptions, recycled: Option<Local>) -> Self {
        match task.measure.norm {
            Norm::L2 => Local::Sqp(Box::new(Sqp::new(task, options, of_sqp(recycled)))),
            Norm::Linf | Norm::L1 => Local::Slp(Box::new(Slp::new(task, options))),
            Norm::L0 => Local::Sparse(Box::new(Sparse::new(task, options))),
        }
    }

    /// The search that goes on from a point that reaches the objective.
    pub(super) fn from(
        point: &[f32],
        task: &Task<'_>,
        options: &SearchOptions,
        recycled: Option<Local>,
    ) -> Self {
        match task.measure.norm {
            Norm::L2 => Local::Sqp(Box::new(Sqp::from(point, task, options, of_sqp(recycled)))),
            Norm::Linf | Norm::L1 => Local::Slp(Box::new(Slp::from(point, task, options))),
            Norm::L0 => Local::Sparse(Box::new(Sparse::from(point, task, options))),
        }
    }

    fn search(&self) -> &dyn Search {
        match self {
            Local::Sqp(search) => &**search,
            Local::Slp(search) => &**search,
            Local::Sparse(search) => &**search,
        }
    }

    fn search_mut(&mut self) -> &mut dyn Search {
        match self {
            Local::Sqp(search) => &mut **search,
            Local::Slp(search) => &mut **search,
            Local::Sparse(search) => &mut **search,
        }
    }
}

/// The search whose memory one in L2 takes over.
fn of_sqp(recycled: Option<Local>) -> Option<Sqp> {
    match recycled {
        Some(Local::Sqp(search)) => Some(*search),
        _ => None,
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
        self.search_mut().take_gradient(gradient)
    }

    fn best(&self) -> Option<&[f32]> {
        self.search().best()
    }

    fn effort(&self) -> Effort {
        self.search().effort()
    }
}
