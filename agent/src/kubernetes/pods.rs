//! The pods that are known, and which of them a container is in: its own, or none. A container's
//! group names its pod by uid, and the API server tells the ids of a pod's containers; where the
//! two contradict each other, neither is believed. It asks nobody.

use std::collections::HashMap;
use std::sync::Arc;

use wirespan_protocols::heap;

use super::place::PodPlace;
use super::pod::{Pod, PodContainer};
use super::resource::PodNews;
use crate::discover::Container;

/// Pods, by uid.
#[derive(Debug, Default)]
pub struct Pods {
    pods: HashMap<String, Arc<Pod>>,
    /// Of all pods.
    bytes: usize,
    /// Pods for which there was no room.
    refused: u64,
    /// Somebody tells of them.
    are_told: bool,
}

/// Where a container is, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// In no pod of this node, or in none that will be told.
    Nowhere,
    /// In a pod of which, or of whose containers, more will be told.
    Awaited(Option<PodPlace>),
    /// Here.
    Known(PodPlace),
}

impl Pods {
    /// None yet, but somebody is about to tell of them.
    #[must_use]
    pub fn awaited() -> Self {
        Self {
            are_told: true,
            ..Self::default()
        }
    }

    /// Whether none will ever be known.
    #[must_use]
    pub fn are_none(&self) -> bool {
        !self.are_told && self.pods.is_empty()
    }

    /// Takes in what is heard, as far as all of them take up to `bytes_max` of memory. Pods that
    /// are not as they were before, or were not there.
    pub fn hear(&mut self, news: PodNews, bytes_max: usize) -> Vec<Arc<Pod>> {
        match news {
            PodNews::Is(pod) => self.put(pod, bytes_max).into_iter().collect(),
            PodNews::Gone(uid) => {
                self.remove(&uid);
                Vec::new()
            }
            PodNews::All(pods) => {
                self.are_told = true;
                let mut former = std::mem::take(&mut self.pods);
                self.bytes = 0;
                let mut changed = Vec::new();
                for pod in pods {
                    if let Some(former) = former.remove(&pod.uid) {
                        self.bytes += former.memory_bytes();
                        self.pods.insert(former.uid.clone(), former);
                    }
                    changed.extend(self.put(pod, bytes_max));
                }
                changed
            }
            PodNews::Silence => {
                self.are_told = false;
                Vec::new()
            }
        }
    }

    fn put(&mut self, pod: Arc<Pod>, bytes_max: usize) -> Option<Arc<Pod>> {
        // It came to be heard of at last.
        self.are_told = true;
        if pod.uid.is_empty() || self.pods.get(&pod.uid) == Some(&pod) {
            return None;
        }
        self.remove(&pod.uid);
        let bytes = pod.memory_bytes();
        if self.bytes + bytes > bytes_max {
            self.refused += 1;
            return None;
        }
        self.bytes += bytes;
        self.pods.insert(pod.uid.clone(), Arc::clone(&pod));
        Some(pod)
    }

    fn remove(&mut self, uid: &str) {
        if let Some(former) = self.pods.remove(uid) {
            self.bytes -= former.memory_bytes();
        }
    }

    /// How often there was no room for one.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    /// Whether there are none at the moment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes + heap::table::<(String, Arc<Pod>)>(self.pods.capacity())
    }

    /// Where a container is. Pods of one node are few, so they are looked through.
    #[must_use]
    pub fn find(&self, container: &Container) -> Whereabouts {
        let mut named = self.pods.values().filter_map(|pod| {
            let named = of_id(pod, &container.id)?;
            Some((pod, named))
        });
        let (first, second) = (named.next(), named.next());
        let Some(uid) = &container.pod_uid else {
            // A static pod's group has another name than the API server gives it.
            return match (first, second) {
                (Some((pod, named)), None) => Whereabouts::Known(place(pod, Some(named))),
                _ => Whereabouts::Nowhere,
            };
        };
        let mut all = [first, second].into_iter().flatten().chain(named);
        match (self.pods.get(uid), all.next()) {
            (Some(pod), Some((other, named))) => {
                // An id that two claim is one whose pod the group alone decides.
                let of_pod = (pod.uid == other.uid).then_some(named);
                let of_pod =
                    of_pod.or_else(|| all.find(|(it, _)| it.uid == pod.uid).map(|it| it.1));
                match of_pod {
                    Some(named) => Whereabouts::Known(place(pod, Some(named))),
                    None => Whereabouts::Nowhere,
                }
            }
            (Some(pod), None) if self.are_told => Whereabouts::Awaited(Some(place(pod, None))),
            (Some(pod), None) => Whereabouts::Known(place(pod, None)),
            (None, Some(_)) => Whereabouts::Nowhere,
            (None, None) if self.are_told => Whereabouts::Awaited(None),
            (None, None) => Whereabouts::Nowhere,
        }
    }
}

impl Pod {
    /// Whether a container may belong to it.
    #[must_use]
    pub fn may_have(&self, container: &Container) -> bool {
        let is_named = container.pod_uid.as_ref() == Some(&self.uid);
        is_named || of_id(self, &container.id).is_some()
    }
}

fn of_id<'a>(pod: &'a Pod, id: &str) -> Option<&'a PodContainer> {
    let mut containers = pod.containers.iter();
    containers.find(|container| !id.is_empty() && container.id == id)
}

fn place(pod: &Arc<Pod>, container: Option<&PodContainer>) -> PodPlace {
    PodPlace {
        pod: Arc::clone(pod),
        container: container.map(|it| it.name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1f0c2d3e-4b5a-6978-8796-a5b4c3d2e1f0";
    const TWO: &str = "2f0c2d3e-4b5a-6978-8796-a5b4c3d2e1f0";

    fn pod(uid: &str, name: &str, containers: &[(&str, &str)]) -> Arc<Pod> {
        let containers = containers.iter().map(|(name, id)| PodContainer {
            name: (*name).to_owned(),
            id: (*id).to_owned(),
            ..PodContainer::default()
        });
        Arc::new(Pod {
            uid: uid.to_owned(),
            name: name.to_owned(),
            containers: containers.collect(),
            ..Pod::default()
        })
    }

    fn hear(pods: &mut Pods, news: PodNews) -> Vec<Arc<Pod>> {
        pods.hear(news, 1 << 20)
    }

    fn container(id: &str, uid: Option<&str>) -> Container {
        Container::known_by(id, uid.map(str::to_owned))
    }

    /// Pod and container by name.
    fn found(pods: &Pods, id: &str, uid: Option<&str>) -> String {
        let told = |place: PodPlace| {
            let container = place.container.as_deref().unwrap_or("?");
            format!("{}/{container}", place.pod.name)
        };
        match pods.find(&container(id, uid)) {
            Whereabouts::Nowhere => "nowhere".to_owned(),
            Whereabouts::Awaited(None) => "awaited".to_owned(),
            Whereabouts::Awaited(Some(place)) => format!("awaited, {}", told(place)),
            Whereabouts::Known(place) => told(place),
        }
    }

    #[test]
    fn a_container_is_in_its_own_pod_or_in_none() {
        let mut pods = Pods::awaited();
        hear(
            &mut pods,
            PodNews::Is(pod(
                ONE,
                "web",
                &[("app", "a"), ("proxy", "b"), ("late", "")],
            )),
        );
        hear(
            &mut pods,
            PodNews::Is(pod(TWO, "db", &[("app", "c"), ("again", "a")])),
        );
        for (id, uid, expected) in [
            ("b", Some(ONE), "web/proxy"),
            ("c", Some(TWO), "db/app"),
            // Two claim the id: the group decides, or nobody.
            ("a", Some(ONE), "web/app"),
            ("a", Some(TWO), "db/again"),
            ("a", None, "nowhere"),
            // Group and API server contradict each other.
            ("c", Some(ONE), "nowhere"),
            ("c", Some("3f0c2d3e"), "nowhere"),
            // A static pod, and a container of no pod.
            ("c", None, "db/app"),
            ("d", None, "nowhere"),
            // More is to come of the container, of the pod.
            ("d", Some(ONE), "awaited, web/?"),
            ("d", Some("3f0c2d3e"), "awaited"),
            ("", Some(ONE), "awaited, web/?"),
        ] {
            assert_eq!(found(&pods, id, uid), expected, "{id} {uid:?}");
        }
        hear(&mut pods, PodNews::Silence);
        assert_eq!(found(&pods, "d", Some(ONE)), "web/?");
        assert_eq!(found(&pods, "d", Some("3f0c2d3e")), "nowhere");
    }

    #[test]
    fn what_is_gone_is_found_no_longer_and_weighs_nothing() {
        let mut pods = Pods::awaited();
        let first = pod(ONE, "web-0", &[("app", "a")]);
        assert_eq!(
            hear(&mut pods, PodNews::Is(Arc::clone(&first))),
            [Arc::clone(&first)]
        );
        assert_eq!(
            hear(&mut pods, PodNews::Is(Arc::clone(&first))),
            [],
            "the same"
        );
        let weight = pods.memory_bytes();
        // Another pod with the same name.
        let second = pod(TWO, "web-0", &[("app", "b")]);
        let all = vec![Arc::clone(&first), Arc::clone(&second)];
        assert_eq!(hear(&mut pods, PodNews::All(all)), [Arc::clone(&second)]);
        assert_eq!(found(&pods, "a", Some(ONE)), "web-0/app");
        hear(&mut pods, PodNews::Gone(ONE.into()));
        assert_eq!(found(&pods, "a", Some(ONE)), "awaited");
        assert_eq!(found(&pods, "b", Some(TWO)), "web-0/app");
        let restarted = pod(TWO, "web-0", &[("app", "c")]);
        assert_eq!(
            hear(&mut pods, PodNews::All(vec![Arc::clone(&restarted)])),
            [restarted]
        );
        assert_eq!(found(&pods, "b", Some(TWO)), "awaited, web-0/?");
        assert_eq!(found(&pods, "c", Some(TWO)), "web-0/app");
        assert_eq!(pods.memory_bytes(), weight);
        hear(&mut pods, PodNews::All(Vec::new()));
        assert!(pods.is_empty());
        assert_eq!(pods.bytes, 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut pods = Pods::awaited();
        let one = pod(ONE, "web", &[("app", "a")]);
        let room = one.memory_bytes() * 3 / 2;
        assert_eq!(pods.hear(PodNews::Is(Arc::clone(&one)), room).len(), 1);
        let other = pod(TWO, "db", &[("app", "b")]);
        assert_eq!(pods.hear(PodNews::Is(Arc::clone(&other)), room), []);
        assert_eq!((pods.len(), pods.refused()), (1, 1));
        pods.hear(PodNews::Gone(ONE.into()), room);
        assert_eq!(pods.hear(PodNews::Is(other), room).len(), 1);
    }
}
