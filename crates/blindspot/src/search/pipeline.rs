//! From tasks to what was found: the stages of each method, over the jobs that a stage is for.

use blindspot_model::classifier::{CheckedEvaluator, Classifier, ClassifierError};
use blindspot_run::monitor::Silenced;
use blindspot_run::random::Stream;
use rayon::prelude::*;

use super::SearchOptions;
use super::attacks::{self, AttackMethod, Ddn, DdnOptions, DeepFool, Fgsm, MethodSearch, Pgd};
use super::batch::{self, Search};
use super::constant::is_constant;
use super::iterate::Iterate;
use super::local::Local;
use super::method::Method;
use super::norms::Norm;
use super::objective::Objective;
use super::penalty::Penalty;
use super::task::{Found, StopCondition, Task, share};

/// What is tried where nothing was found, and the share of the evaluations left that each may take.
const LAST_RESORTS: [(Method, f64); 4] = [
    (Method::Fgsm, 0.2),
    (Method::Ddn, 0.4),
    (Method::DeepFool, 0.4),
    (Method::Pgd, 0.6),
];
/// Starts of the paper's search beside the original, as the very last resort.
const STARTS: usize = 4;
/// What looks for other minima with the evaluations that are left, and the share each may take.
const OTHER_STARTS: [(Method, f64); 3] = [
    (Method::Ddn, 0.4),
    (Method::DeepFool, 0.4),
    (Method::Pgd, 0.6),
];
/// Published attacks by their own losses, to the end of each: what they find is found, and with evaluations left no
/// answer lies above one of theirs.
const AS_PUBLISHED: [Method; 4] = [Method::Ddn, Method::DeepFool, Method::Pgd, Method::Fgsm];
/// Evaluations that must be left for that.
const FEWEST_LEFT: u64 = 30;
/// Steps of decoupled direction and norm at most, where they are the only ones; and on the way to a minimum in another
/// norm.
const DDN_STEPS: usize = 100;
const FEW_DDN_STEPS: usize = 30;
/// The share of the evaluations left that a search in L2 may take on the way to one in another norm.
const L2_SHARE: f64 = 0.4;

/// The search does not go on from what is farther than the best by this factor. In Linf and L1 the ends of other
/// searches, which mostly make another norm small, lie far off and lead to the nearest minima.
fn much_farther(norm: Norm) -> f64 {
    match norm {
        Norm::L2 | Norm::L0 => 1.2,
        Norm::Linf | Norm::L1 => f64::INFINITY,
    }
}

/// How many descents begin around the best perturbation, where the first search has ended at kinks and elsewhere.
fn starts_around(norm: Norm, is_kinked: bool) -> u32 {
    match (norm, is_kinked) {
        (Norm::L2 | Norm::L0, _) | (Norm::Linf, false) => 0,
        (Norm::Linf, true) => 3,
        (Norm::L1, _) => 6,
    }
}

/// The published attacks that have the last word.
pub(super) fn published() -> impl Iterator<Item = &'static MakeMethod> {
    AS_PUBLISHED.into_iter().filter_map(attacks::baseline)
}

/// One task and what has been found for it so far; `None` where its search was not begun, or was
/// cancelled.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) task: Task<'a>,
    pub(super) found: Option<Found>,
    /// What other methods than the search itself ended at: it counts where rounding undoes what was
    /// found nearer.
    pub(super) ends: Vec<Vec<f32>>,
    /// Whether the margin is the same all around the original.
    is_constant: bool,
}

impl<'a> Job<'a> {
    pub(super) fn new(task: Task<'a>) -> Self {
        Job {
            task,
            found: None,
            ends: Vec::new(),
            is_constant: false,
        }
    }

    /// Evaluations that are left.
    fn evaluations_left(&self) -> u64 {
        let made = self.found.as_ref();
        let made = made.map_or(0, |found| found.effort.evaluations);
        self.task.max_evaluations.saturating_sub(made)
    }

    /// What was found, if anything reaches the objective.
    fn adversarial(&self) -> Option<&[f32]> {
        self.found.as_ref()?.adversarial.as_deref()
    }

    /// The task with the evaluations that are left.
    fn rest(&self) -> Task<'a> {
        self.part(1.0)
    }

    /// The task with a share of the evaluations that are left.
    fn part(&self, part: f64) -> Task<'a> {
        Task {
            max_evaluations: share(part, self.evaluations_left()).max(1),
            ..self.task.clone()
        }
    }

    /// The norm of what was found, if anything was.
    fn norm(&self) -> Option<f64> {
        let image = self.adversarial()?;
        Some(self.task.measure.of(self.task.original, image))
    }

    /// True where a search has ended without success and with evaluations left, and another may succeed.
    fn is_unsolved(&self) -> bool {
        let goes_on = !self.is_constant && self.evaluations_left() > 0;
        goes_on && self.found.is_some() && self.adversarial().is_none()
    }

    /// Adds what another search has found; the smaller perturbation counts.
    fn add(&mut self, other: Found) {
        let Some(found) = &mut self.found else {
            return;
        };
        found.effort += other.effort;
        let size = |image: &[f32]| self.task.measure.of(self.task.original, image);
        if let Some(image) = other.adversarial
            && found
                .adversarial
                .as_deref()
                .is_none_or(|old| size(&image) < size(old))
        {
            found.adversarial = Some(image);
        }
    }
}

/// How attacks of a user's own are begun: one for each search.
pub(super) type MakeMethod = dyn Fn() -> Box<dyn AttackMethod> + Send + Sync;

/// Runs the search of each job by the method of the options, or by a method of the user's own.
///
/// # Errors
/// [`ClassifierError`] where the classifier fails.
pub(super) fn run(
    classifier: &dyn Classifier,
    jobs: &mut [Job<'_>],
    options: &SearchOptions,
    own_method: Option<&MakeMethod>,
    stop: StopCondition<'_>,
) -> Result<(), ClassifierError> {
    if let Some(make) = own_method.or_else(|| attacks::baseline(options.method)) {
        let begin = |job: &Job<'_>, _| MethodSearch::new(&job.task, make());
        return first_stage(classifier, jobs, begin, stop);
    }
    let penalty = |job: &Job<'_>, recycled| Penalty::new(&job.rest(), options, recycled);
    if options.method == Method::Lbfgs {
        return first_stage(classifier, jobs, penalty, stop);
    }
    let own = |job: &Job<'_>, recycled| match job.task.begin {
        Some(point) => Local::from(point, &job.rest(), options, recycled),
        None => Local::new(&job.rest(), options, recycled),
    };
    first_stage(classifier, jobs, own, stop)?;

    let silenced = Silenced(stop.monitor);
    let others = Others {
        classifier,
        options,
        stop: StopCondition {
            monitor: &silenced,
            ..stop
        },
    };
    others.where_nothing_was_found(jobs)?;
    others.by_way_of_l2(jobs)?;
    if options.max_evaluations.is_some() {
        others.with_what_is_left(jobs)?;
    }
    Ok(())
}

/// The searches that take over from sequential quadratic programming.
struct Others<'s> {
    classifier: &'s dyn Classifier,
    options: &'s SearchOptions,
    stop: StopCondition<'s>,
}

impl Others<'_> {
    /// Tries other searches, one after the other, for the jobs without success: the quick ones
    /// first, then the paper's from the original and from points around it, then the quick ones by their own losses.
    fn where_nothing_was_found(&self, jobs: &mut [Job<'_>]) -> Result<(), ClassifierError> {
        self.look_around(jobs)?;
        let unsolved = |job: &Job<'_>| job.is_unsolved();
        for (method, part) in LAST_RESORTS {
            let begin = |job: &Job<'_>, _| along_margin((method, DDN_STEPS), &job.part(part));
            self.try_from(jobs, unsolved, begin)?;
        }
        let penalty = |job: &Job<'_>, recycled| Penalty::new(&job.rest(), self.options, recycled);
        self.try_from(jobs, unsolved, penalty)?;
        for start in 1..=STARTS {
            let begin = |job: &Job<'_>, recycled| {
                let point = self.start(&job.task, start);
                Penalty::from(&point, &job.rest(), self.options, recycled)
            };
            self.try_from(jobs, unsolved, begin)?;
        }
        self.as_published(jobs, unsolved)
    }

    /// Sees whether the margin is the same all around: the searches that remain would take thousands of evaluations to
    /// find that out.
    fn look_around(&self, jobs: &mut [Job<'_>]) -> Result<(), ClassifierError> {
        if self.options.max_evaluations.is_some() {
            return Ok(());
        }
        let unsolved: Vec<_> = jobs.iter_mut().filter(|job| job.is_unsolved()).collect();
        unsolved.into_par_iter().try_for_each_init(
            || CheckedEvaluator::new(self.classifier),
            |evaluator, job| {
                if self.stop.timed_out() || self.stop.monitor.cancelled() {
                    return Ok(());
                }
                let Some(found) = &mut job.found else {
                    return Ok(());
                };
                let points = (1..=STARTS).map(|start| self.start(&job.task, start));
                let constant = is_constant(evaluator, &job.task, points, &mut found.effort);
                job.is_constant = constant.map_err(|error| error.of_input(|_| job.task.index))?;
                Ok(())
            },
        )
    }

    /// Runs published attacks by their own losses.
    fn as_published(
        &self,
        jobs: &mut [Job<'_>],
        wanted: impl Fn(&Job<'_>) -> bool,
    ) -> Result<(), ClassifierError> {
        for make in published() {
            let begin = |job: &Job<'_>, _| MethodSearch::new(&job.rest(), make());
            self.try_from(jobs, &wanted, begin)?;
        }
        Ok(())
    }

    /// A point between the original and one of the box at random, the farther the later.
    fn start(&self, task: &Task<'_>, start: usize) -> Vec<f32> {
        let number = task.index.wrapping_mul(STARTS).wrapping_add(start);
        let mut stream = Stream::new(self.options.seed, "starts", number);
        let unit = task.feasible_box.unit() as f32;
        let fraction = start as f32 / STARTS as f32;
        let values = task.original.iter().enumerate();
        let values = values.map(|(i, &x)| {
            let lower = task.feasible_box.lower[i].max(x - unit);
            let upper = task.feasible_box.upper[i].min(x + unit);
            let at_random = lower + stream.uniform() as f32 * (upper - lower);
            task.feasible_box
                .clip_value(i, x + fraction * (at_random - x))
        });
        values.collect()
    }

    /// Whether more is to be looked for: something was found, not near enough, and evaluations are left.
    fn goes_on(&self, job: &Job<'_>) -> bool {
        let enough = self.options.enough.unwrap_or(f64::NEG_INFINITY);
        job.norm().is_some_and(|norm| norm > enough) && job.evaluations_left() >= FEWEST_LEFT
    }

    /// Goes on from what is smallest in L2, by the search and, at kinks, by a few steps of a published one; then around
    /// the best. In Linf only where the first search has ended at kinks, over which the way from the original leads in a
    /// norm that is not smooth; in L1 always, as the linearised distances that rank classes say little where a step
    /// changes few values by much.
    fn by_way_of_l2(&self, jobs: &mut [Job<'_>]) -> Result<(), ClassifierError> {
        let norm = self.options.norm;
        let is_kinked = |job: &Job<'_>| job.found.as_ref().is_some_and(|found| found.is_kinked);
        let starts = |job: &Job<'_>| starts_around(norm, is_kinked(job));
        let goes_on = |job: &Job<'_>| starts(job) > 0 && self.goes_on(job);
        let options = SearchOptions {
            enough: None,
            ..self.options.clone().norm(Norm::L2)
        };
        let in_l2 = |job: &Job<'_>, recycled| {
            let task = job.part(L2_SHARE);
            let measure = task.measure.with(Norm::L2);
            Local::new(&Task { measure, ..task }, &options, recycled)
        };
        self.try_from(jobs, goes_on, in_l2)?;
        let ddn =
            |job: &Job<'_>, _| along_margin((Method::Ddn, FEW_DDN_STEPS), &job.part(L2_SHARE));
        self.try_from(jobs, |job| is_kinked(job) && goes_on(job), ddn)?;
        self.around(jobs, starts)
    }

    /// Descents from so many starts around the best perturbation of each job.
    fn around(
        &self,
        jobs: &mut [Job<'_>],
        starts: impl Fn(&Job<'_>) -> u32 + Sync,
    ) -> Result<(), ClassifierError> {
        let goes_on = |job: &&mut Job<'_>| starts(job) > 0 && self.goes_on(job);
        let mut chosen: Vec<&mut Job<'_>> = jobs.iter_mut().filter(goes_on).collect();
        if chosen.is_empty() || self.stop.timed_out() {
            return Ok(());
        }
        let begin = |job: &Job<'_>, recycled| {
            let best = job.adversarial().unwrap_or(job.task.original);
            Local::around(best, starts(job), &job.rest(), self.options, recycled)
        };
        let found = stage(self.classifier, &chosen, begin, self.stop)?;
        add(&mut chosen, found, self.stop);
        Ok(())
    }

    /// Spends the evaluations that are left on what other methods lead to: other local minima.
    fn with_what_is_left(&self, jobs: &mut [Job<'_>]) -> Result<(), ClassifierError> {
        let goes_on = |job: &Job<'_>| self.goes_on(job);
        for (method, part) in OTHER_STARTS {
            let begin = |job: &Job<'_>, _| along_margin((method, DDN_STEPS), &job.part(part));
            self.try_from(jobs, goes_on, begin)?;
        }
        self.as_published(jobs, goes_on)?;
        match self.options.norm {
            Norm::L2 | Norm::L0 => Ok(()),
            Norm::Linf | Norm::L1 => self.around(jobs, |_| u32::MAX),
        }
    }

    /// Runs another search for some jobs, and goes on from what it finds to the nearest points of
    /// the boundary, unless what was found before is much nearer.
    fn try_from<S: Search>(
        &self,
        jobs: &mut [Job<'_>],
        wanted: impl Fn(&Job<'_>) -> bool,
        begin: impl Fn(&Job<'_>, Option<S>) -> S + Sync,
    ) -> Result<(), ClassifierError> {
        let mut chosen: Vec<&mut Job<'_>> = jobs.iter_mut().filter(|job| wanted(job)).collect();
        if chosen.is_empty() || self.stop.timed_out() {
            return Ok(());
        }
        let found = stage(self.classifier, &chosen, begin, self.stop)?;
        let cancelled = self.stop.monitor.cancelled();
        let (mut polished, mut ends) = (Vec::new(), Vec::new());
        for (job, found) in chosen.iter_mut().zip(found) {
            let Some(found) = found else {
                if cancelled {
                    job.found = None;
                }
                continue;
            };
            let before = job.norm();
            let end = found.adversarial.clone();
            job.ends.extend(end.clone());
            job.add(found);
            let near = |end: &Vec<f32>| {
                before.is_none_or(|before| {
                    job.task.measure.of(job.task.original, end)
                        < much_farther(job.task.measure.norm) * before
                })
            };
            if let Some(end) = end.filter(near)
                && job.evaluations_left() > 0
            {
                ends.push(end);
                polished.push(&mut **job);
            }
        }
        let polish = |index: usize, recycled| {
            Local::from(
                &ends[index],
                &polished[index].rest(),
                self.options,
                recycled,
            )
        };
        let found = batch::run(self.classifier, polished.len(), polish, self.stop)
            .map_err(|error| error.of_input(|index| polished[index].task.index))?;
        add(&mut polished, found, self.stop);
        Ok(())
    }
}

/// The search by a published method that follows the margin, with a schedule that fits into the
/// task's evaluations; of one whose steps are a schedule, in so many.
fn along_margin((method, schedule): (Method, usize), task: &Task<'_>) -> MethodSearch {
    let steps = |usual: usize| {
        let left = usize::try_from(task.max_evaluations).unwrap_or(usize::MAX);
        usual.min(left.saturating_sub(1).max(1))
    };
    let method: Box<dyn AttackMethod> = match method {
        Method::Ddn => Box::new(AlongMargin(Ddn::new(
            DdnOptions::default().steps(steps(schedule)),
        ))),
        Method::DeepFool => Box::<DeepFool>::default(),
        Method::Pgd => Box::new(AlongMargin(Pgd::default())),
        _ => Box::new(AlongMargin(Fgsm::default())),
    };
    MethodSearch::new(task, method)
}

/// A method that follows the margin of all near classes together in place of the loss: so it does
/// not depend on the scale of the outputs.
struct AlongMargin<M>(M);

impl<M: AttackMethod> AttackMethod for AlongMargin<M> {
    fn output_gradient(&mut self, objective: Objective, outputs: &[f32], gradient: &mut [f32]) {
        objective.descent(outputs, gradient);
    }

    fn step(&mut self, iterate: &Iterate<'_>, point: &mut [f32]) -> bool {
        self.0.step(iterate, point)
    }
}

/// Adds what another search has found for each of some jobs. A job whose search was cancelled is not
/// known to its end, whatever was found before.
fn add(jobs: &mut [&mut Job<'_>], found: Vec<Option<Found>>, stop: StopCondition<'_>) {
    let cancelled = stop.monitor.cancelled();
    for (job, found) in jobs.iter_mut().zip(found) {
        match found {
            Some(found) => job.add(found),
            None if cancelled => job.found = None,
            None => {}
        }
    }
}

/// Runs a search for each of all jobs.
fn first_stage<S: Search>(
    classifier: &dyn Classifier,
    jobs: &mut [Job<'_>],
    begin: impl Fn(&Job<'_>, Option<S>) -> S + Sync,
    stop: StopCondition<'_>,
) -> Result<(), ClassifierError> {
    let chosen: Vec<&mut Job<'_>> = jobs.iter_mut().collect();
    let found = stage(classifier, &chosen, begin, stop)?;
    for (job, found) in chosen.into_iter().zip(found) {
        job.found = found;
    }
    Ok(())
}

/// Runs a search for each of some jobs; gives what each has found.
fn stage<S: Search>(
    classifier: &dyn Classifier,
    jobs: &[&mut Job<'_>],
    begin: impl Fn(&Job<'_>, Option<S>) -> S + Sync,
    stop: StopCondition<'_>,
) -> Result<Vec<Option<Found>>, ClassifierError> {
    let start = |index: usize, recycled| begin(jobs[index], recycled);
    batch::run(classifier, jobs.len(), start, stop)
        .map_err(|error| error.of_input(|index| jobs[index].task.index))
}
