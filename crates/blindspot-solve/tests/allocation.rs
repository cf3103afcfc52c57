//! A boxed solver allocates when it is made, and never again.

// An allocator that counts is an unsafe trait's implementation.
#![allow(unsafe_code)]

mod functions;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use blindspot_solve::{BoxLbfgs, LbfgsOptions, Status};
use functions::rosenbrock;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn telling_and_restarting_allocate_nothing() {
    let n = 100;
    let mut gradient = vec![0.0; n];
    let mut solver = BoxLbfgs::new(
        &vec![-1.0; n],
        &vec![-2.0; n],
        &vec![0.7; n],
        LbfgsOptions::default(),
    )
    .unwrap();
    let start = solver.point().to_vec();
    let before = ALLOCATIONS.get();
    assert!(before > 0, "the allocator doesn't count");
    for _ in 0..3 {
        loop {
            let value = rosenbrock(solver.point(), &mut gradient);
            if let Status::Done(_) = solver.tell(value, &gradient) {
                break;
            }
        }
        assert!(solver.iterations() > 30);
        solver.restart(&start).unwrap();
    }
    assert_eq!(ALLOCATIONS.get(), before);
}
