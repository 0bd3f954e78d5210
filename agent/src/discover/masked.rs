//! Takes secrets out of a description: out of what the process says, and out of its pod. It decides
//! on no text itself.

use std::borrow::Cow;
use std::sync::Arc;

use super::Process;
use crate::redact::Redaction;

impl Process {
    /// Hides the secrets of what others wrote into it. Texts without any stay where they are.
    pub fn mask(&mut self, redaction: &Redaction) {
        let hide = |name: &str, value: &mut String| {
            if let Cow::Owned(told) = redaction.attribute(name, value) {
                *value = told;
            }
        };
        for (name, value) in &mut self.resource_attributes {
            hide(name, value);
        }
        let Some(place) = &mut self.place else {
            return;
        };
        // Who made a pod may have written anything into it.
        let pod = Arc::make_mut(&mut place.pod);
        let environments = pod.containers.iter_mut().map(|it| &mut it.environment);
        let texts = [&mut pod.labels, &mut pod.annotations].into_iter();
        for (name, value) in texts.chain(environments).flatten() {
            // Before the slash stands whose name it is.
            hide(name.rsplit('/').next().unwrap_or(name), value);
        }
    }
}
