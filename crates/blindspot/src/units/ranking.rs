//! A ranking of images by their projections, kept while the images stream by.

/// An image in a ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) image: usize,
    pub(super) activation: f32,
    pub(super) position: u32,
}

/// The first `size` entries by activation. Of equal activations the image with the lower index leads,
/// provided that entries are added in the order of the images.
#[derive(Debug, Clone)]
pub(super) struct Ranking {
    size: usize,
    /// Whether the largest activations lead, or the smallest.
    largest: bool,
    entries: Vec<Entry>,
}

impl Ranking {
    pub(super) fn new(size: usize, largest: bool) -> Ranking {
        Ranking {
            size,
            largest,
            entries: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, entry: Entry) {
        let leads = |a: f32, b: f32| if self.largest { a > b } else { a < b };
        if self.entries.len() == self.size {
            match self.entries.last() {
                Some(last) if leads(entry.activation, last.activation) => {
                    self.entries.pop();
                }
                _ => return,
            }
        }
        // Behind equal activations, whose images have lower indices.
        let place = self
            .entries
            .partition_point(|other| !leads(entry.activation, other.activation));
        self.entries.insert(place, entry);
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_those_of_a_sort() {
        // Many equal values, both zeros.
        let values: Vec<f32> = (0..200u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 28) as f32 - 8.0)
            .map(|x| if x == 0.0 { -0.0 } else { x })
            .collect();
        for largest in [true, false] {
            for size in [1, 7, 200, 300] {
                let mut ranking = Ranking::new(size, largest);
                for (image, &activation) in values.iter().enumerate() {
                    ranking.add(Entry {
                        image,
                        activation,
                        position: 0,
                    });
                }
                let mut order: Vec<usize> = (0..values.len()).collect();
                order.sort_by(|&a, &b| {
                    let ascending = values[a].partial_cmp(&values[b]).unwrap();
                    if largest {
                        ascending.reverse()
                    } else {
                        ascending
                    }
                });
                order.truncate(size);
                let found: Vec<usize> = ranking.entries().iter().map(|e| e.image).collect();
                assert_eq!(found, order);
            }
        }
    }
}
