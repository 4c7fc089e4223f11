//! Answers of one model, one sample at a time.

use serde::Serialize;

use super::call::Line;
use crate::erase::HomeError;
use crate::model::Predictor;
use crate::model::file::Artifact;
use crate::sparse::Isa;

/// What a model says of a sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The class that is most likely.
    pub label: String,
    /// How likely it is, by the model.
    pub probability: f32,
}

/// A model that answers.
pub struct Oracle {
    predictor: Predictor,
    classes: Vec<String>,
}

impl Oracle {
    /// Makes `model` ready.
    pub fn new(model: &Artifact, isa: Isa) -> Self {
        let predictor = Predictor::new(&model.network, isa);
        Self { predictor, classes: model.meaning.classes.clone() }
    }

    /// What it says of each sample.
    ///
    /// # Errors
    /// If a sample has another size.
    pub fn answer_all(&mut self, samples: &[Line]) -> Result<Vec<Answer>, HomeError> {
        samples.iter().enumerate().map(|(index, line)| self.answer(index, line)).collect()
    }

    fn answer(&mut self, index: usize, line: &Line) -> Result<Answer, HomeError> {
        let expected: usize = self.predictor.input_shape().iter().product();
        let found = line.values.len().max(line.bytes.len());
        if found != expected || (!line.values.is_empty() && !line.bytes.is_empty()) {
            let rule = format!(
                "it has {} values and {} bytes, expected {expected} of one of them",
                line.values.len(),
                line.bytes.len()
            );
            return Err(HomeError::Sample { index, rule });
        }
        if let Some(at) = line.values.iter().position(|value| !value.is_finite()) {
            let rule = format!("value {at} is no finite number");
            return Err(HomeError::Sample { index, rule });
        }
        let probabilities = self.predictor.predict(|out| match line.bytes.is_empty() {
            true => out.copy_from_slice(&line.values),
            false => {
                out.iter_mut().zip(&line.bytes).for_each(|(to, b)| *to = f32::from(*b) / 255.0);
            }
        });
        let best = (0..probabilities.len())
            .fold(0, |best, i| if probabilities[i] > probabilities[best] { i } else { best });
        let label = self.classes.get(best).cloned().unwrap_or_default();
        Ok(Answer { label, probability: probabilities[best] })
    }
}
