//! Where a point lies, for a model that goes by distance.

use super::Space;
use super::features::odd_part;
use std::sync::Arc;

/// A name's distance from another, per name.
const NAMED: f32 = 0.7;
/// How far values that are powers of two lie from those that are not: indices then shift and mask
/// instead of dividing, and tiles fill arrays that are powers of two themselves.
const ODD: f32 = 0.5;

/// One coordinate of each value of a parameter.
#[derive(Clone, Debug)]
struct Column {
    parameter: usize,
    of_value: Vec<f32>,
}

/// Each parameter from 0 to 1, in logarithms where its values are sizes: what two sizes do together
/// goes by their product, which is a direction among logarithms.
#[derive(Clone, Debug)]
pub struct Coordinates {
    space: Arc<Space>,
    columns: Vec<Column>,
}

impl Coordinates {
    pub fn new(space: &Arc<Space>) -> Self {
        let mut columns = Vec::new();
        for (parameter, p) in space.parameters().iter().enumerate().filter(|(_, p)| p.values.len() > 1) {
            if p.names {
                let one = |name: usize| (0..p.values.len()).map(|v| if v == name { NAMED } else { 0.0 }).collect();
                columns.extend((0..p.values.len()).map(|name| Column { parameter, of_value: one(name) }));
                continue;
            }
            let sizes = p.values.len() > 2 && p.values.iter().all(|v| *v > 0.0);
            let at: Vec<f64> = p.values.iter().map(|v| if sizes { v.ln() } else { *v }).collect();
            let low = at.iter().copied().fold(f64::INFINITY, f64::min);
            let high = at.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let range = (high - low).max(f64::MIN_POSITIVE);
            columns.push(Column { parameter, of_value: at.iter().map(|x| ((x - low) / range) as f32).collect() });
            let odd: Vec<f32> = p.values.iter().map(|v| if odd_part(*v) > 1.0 { ODD } else { 0.0 }).collect();
            if p.values.len() > 2 && odd.iter().any(|x| *x != odd[0]) {
                columns.push(Column { parameter, of_value: odd });
            }
        }
        Coordinates { space: space.clone(), columns }
    }

    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Appends a point's coordinates.
    pub fn append(&self, point: usize, to: &mut Vec<f32>) {
        let places = self.space.places(point);
        to.extend(self.columns.iter().map(|c| c.of_value[usize::from(places[c.parameter])]));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Parameter;
    use super::*;

    #[test]
    fn sizes_lie_by_their_logarithms_and_names_alike_far() {
        let parameter =
            |name: &str, values: &[f64], names| Parameter { name: name.into(), values: values.into(), names };
        let parameters = vec![
            parameter("size", &[4.0, 6.0, 16.0], false),
            parameter("flag", &[0.0, 1.0], false),
            parameter("name", &[0.0, 1.0, 2.0], true),
            parameter("fixed", &[7.0], false),
        ];
        let space = Arc::new(Space::new(parameters, &[vec![0, 0, 2, 0], vec![1, 1, 0, 0], vec![2, 0, 1, 0]]).unwrap());
        let coordinates = Coordinates::new(&space);
        let at = |point| {
            let mut out = Vec::new();
            coordinates.append(point, &mut out);
            out
        };
        assert_eq!(coordinates.width(), 6);
        assert_eq!(at(0), [0.0, 0.0, 0.0, 0.0, 0.0, NAMED]);
        assert!((at(1)[0] - 1.5f32.ln() / 4f32.ln()).abs() < 1e-6);
        assert_eq!(at(1)[1..], [ODD, 1.0, NAMED, 0.0, 0.0]);
        assert_eq!(at(2), [1.0, 0.0, 0.0, 0.0, NAMED, 0.0]);
    }
}
