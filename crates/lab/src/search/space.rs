//! A space: parameters with their values, and the points (valid configs) as places in them.

use super::rng::Rng;
use std::collections::HashMap;

/// A parameter and its values, smallest first where they are numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    pub name: String,
    /// The values as numbers; places in a list where they are names.
    pub values: Vec<f64>,
    /// Whether the values are names, which have no order.
    pub names: bool,
}

/// Every valid config of one problem.
#[derive(Clone, Debug)]
pub struct Space {
    parameters: Vec<Parameter>,
    /// Place of each point's value in each parameter's list, point after point.
    places: Vec<u16>,
    index: HashMap<Vec<u16>, u32>,
}

/// Places that do not make a space.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    #[error("point {point} has no value {place} of `{parameter}`, which has {values}")]
    Place { point: usize, parameter: String, place: u16, values: usize },
    #[error("points {first} and {second} are the same")]
    Twice { first: usize, second: usize },
    #[error("a point has {found} values, expected {expected}")]
    Width { found: usize, expected: usize },
    #[error("more than {0} points")]
    TooLarge(usize),
}

/// Points that a space may hold.
pub const MAX_POINTS: usize = 1 << 24;

impl Space {
    /// A space of `points`, each one place a parameter.
    ///
    /// # Errors
    /// A place outside its parameter's list, a point that is there twice.
    pub fn new(parameters: Vec<Parameter>, points: &[Vec<u16>]) -> Result<Self, SpaceError> {
        if points.len() > MAX_POINTS {
            return Err(SpaceError::TooLarge(MAX_POINTS));
        }
        let mut index = HashMap::with_capacity(points.len());
        let mut places = Vec::with_capacity(points.len() * parameters.len());
        for (i, point) in points.iter().enumerate() {
            if point.len() != parameters.len() {
                return Err(SpaceError::Width { found: point.len(), expected: parameters.len() });
            }
            for (p, place) in parameters.iter().zip(point) {
                if usize::from(*place) >= p.values.len() {
                    let (parameter, values) = (p.name.clone(), p.values.len());
                    return Err(SpaceError::Place { point: i, parameter, place: *place, values });
                }
            }
            if let Some(first) = index.insert(point.clone(), i as u32) {
                return Err(SpaceError::Twice { first: first as usize, second: i });
            }
            places.extend_from_slice(point);
        }
        Ok(Space { parameters, places, index })
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Places of a point's values.
    pub fn places(&self, point: usize) -> &[u16] {
        let width = self.parameters.len();
        &self.places[point * width..(point + 1) * width]
    }

    /// The point with these places, if it is valid.
    pub fn find(&self, places: &[u16]) -> Option<usize> {
        self.index.get(places).map(|i| *i as usize)
    }

    /// Parameters in which two points differ.
    pub fn differences(&self, a: usize, b: usize) -> usize {
        self.places(a).iter().zip(self.places(b)).filter(|(x, y)| x != y).count()
    }

    /// Points that differ in one parameter: by name any other value, by number the next valid ones
    /// on each side.
    pub fn adjacent(&self, point: usize) -> Vec<usize> {
        let mut out = Vec::new();
        self.along(point, |space, places, d| {
            let (home, count) = (places[d], space.parameters[d].values.len() as u16);
            if space.parameters[d].names {
                for value in (0..count).filter(|v| *v != home) {
                    places[d] = value;
                    out.extend(space.find(places));
                }
                return;
            }
            let mut first = |values: &mut dyn Iterator<Item = u16>| {
                for value in values {
                    places[d] = value;
                    if let Some(found) = space.find(places) {
                        out.push(found);
                        break;
                    }
                }
            };
            first(&mut (0..home).rev());
            first(&mut (home + 1..count));
        });
        out
    }

    /// Points that differ in one parameter, in whatever value.
    pub fn neighbours(&self, point: usize) -> Vec<usize> {
        let mut out = Vec::new();
        self.along(point, |space, places, d| {
            let home = places[d];
            for value in (0..space.parameters[d].values.len() as u16).filter(|v| *v != home) {
                places[d] = value;
                out.extend(space.find(places));
            }
        });
        out
    }

    fn along(&self, point: usize, mut each: impl FnMut(&Self, &mut [u16], usize)) {
        let mut places = self.places(point).to_vec();
        for d in 0..places.len() {
            let home = places[d];
            each(self, &mut places, d);
            places[d] = home;
        }
    }

    /// Any point.
    pub fn any(&self, rng: &mut Rng) -> usize {
        rng.below(self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, values: &[f64], names: bool) -> Parameter {
        Parameter { name: name.into(), values: values.to_vec(), names }
    }

    /// All of 3 × 4 × 2, save those with a = 1 and b = 1.
    fn space() -> Space {
        let parameters = vec![
            parameter("a", &[1.0, 2.0, 4.0], false),
            parameter("b", &[0.0, 1.0, 2.0, 3.0], false),
            parameter("c", &[0.0, 1.0], true),
        ];
        let mut points = Vec::new();
        for a in 0..3 {
            for b in 0..4 {
                points.extend((0..2).filter(|_| a != 1 || b != 1).map(|c| vec![a, b, c]));
            }
        }
        Space::new(parameters, &points).unwrap()
    }

    #[test]
    fn neighbours_step_over_what_is_not_valid() {
        let s = space();
        let at = s.find(&[0, 1, 0]).unwrap();
        let mut found: Vec<&[u16]> = s.adjacent(at).into_iter().map(|p| s.places(p)).collect();
        found.sort();
        assert_eq!(found, [&[0, 0, 0][..], &[0, 1, 1], &[0, 2, 0], &[2, 1, 0]]);
        assert_eq!(s.neighbours(at).len(), 1 + 3 + 1);
    }

    #[test]
    fn what_is_no_space_is_refused() {
        let p = || vec![parameter("a", &[1.0, 2.0], false)];
        assert!(matches!(Space::new(p(), &[vec![2]]), Err(SpaceError::Place { place: 2, .. })));
        assert!(matches!(Space::new(p(), &[vec![1], vec![1]]), Err(SpaceError::Twice { .. })));
        assert!(matches!(Space::new(p(), &[vec![]]), Err(SpaceError::Width { .. })));
        assert!(Space::new(p(), &[]).unwrap().is_empty());
    }
}
