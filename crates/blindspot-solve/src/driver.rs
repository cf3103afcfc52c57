//! What the solvers share: how one is told an evaluation, and what it says of itself.

/// The public methods that a solver has in common with the other one, for the inside of its `impl`.
///
/// A macro, not a type for both: the solvers keep the fields that are stored in their own order. It
/// takes from where it is used the function `dot`, and the methods `start`, `accept`, `place`,
/// `retry` and `finish`, each of which gives a [`Status`](crate::Status).
macro_rules! driver {
    () => {
        /// Takes the value and gradient at [`point`](Self::point). Once the solver is done, nothing
        /// changes any more.
        ///
        /// # Panics
        ///
        /// If the gradient is not as long as the point.
        pub fn tell(&mut self, value: f64, gradient: &[T]) -> Status {
            assert_eq!(
                gradient.len(),
                self.point.len(),
                "the gradient's length must be the point's"
            );
            if let Some(reason) = self.progress.done {
                return Status::Done(reason);
            }
            self.progress.evaluations += 1;
            let Some(search) = &mut self.search else {
                return self.start(value, gradient);
            };
            match search.tell(value, dot(gradient, &self.direction)) {
                Next::Accept => self.accept(value, gradient),
                _ if self.progress.evaluations >= self.options.max_evaluations => {
                    self.finish(Reason::Evaluations)
                }
                Next::Try => self.place(),
                Next::Fail => self.retry(),
            }
        }

        /// Evaluates `f`, which writes its gradient and returns its value, until the end. The
        /// observer sees every iterate after the first, and can end the work.
        pub fn minimise(
            &mut self,
            mut f: impl FnMut(&[T], &mut [T]) -> f64,
            mut observer: impl FnMut(&Self) -> ControlFlow<()>,
        ) -> Reason {
            let mut gradient = vec![T::zero(); self.point.len()];
            loop {
                let value = f(&self.point, &mut gradient);
                match self.tell(value, &gradient) {
                    Status::Evaluate => {}
                    Status::Iterated => {
                        if observer(self).is_break() {
                            return Reason::Observer;
                        }
                    }
                    Status::Done(reason) => return reason,
                }
            }
        }

        /// The last point accepted: the lowest so far, within rounding.
        pub fn iterate(&self) -> &[T] {
            &self.iterate
        }

        /// The value at the iterate; NaN before the first evaluation.
        pub fn value(&self) -> f64 {
            self.progress.value.unwrap_or(f64::NAN)
        }

        /// The gradient at the iterate; zeros before the first evaluation.
        pub fn gradient(&self) -> &[T] {
            &self.gradient
        }

        /// The number of iterates after the start.
        pub fn iterations(&self) -> usize {
            self.progress.iterations
        }

        /// The number of evaluations told.
        pub fn evaluations(&self) -> usize {
            self.progress.evaluations
        }

        fn finish(&mut self, reason: Reason) -> Status {
            self.point.copy_from_slice(&self.iterate);
            self.search = None;
            self.progress.done = Some(reason);
            Status::Done(reason)
        }
    };
}

pub(crate) use driver;
