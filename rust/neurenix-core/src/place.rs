//! On which core a helper wakes up.
//!
//! The system wakes a thread where it ran last or where it is woken from, unless it looks for an idle core, and it does not look where cores
//! were busy a moment ago. A helper on the core of its region's caller waits behind that for milliseconds: regions of 6 ms were over before it
//! began. So helpers may not run on the caller's core until they have woken up.

#[cfg(target_os = "linux")]
mod linux {
    use libc::{CPU_CLR, CPU_COUNT, CPU_ISSET, c_int, cpu_set_t, pid_t};

    /// Helpers up to which all are kept off the caller's core; of more, those that slept there: each costs some calls of the system, and
    /// one of many that comes late matters little.
    const FEW: usize = 8;

    /// Where a helper sleeps, and where it may run if that was changed.
    #[derive(Default)]
    pub struct Place {
        pub(super) asleep: Option<(pid_t, c_int)>,
        before: Option<cpu_set_t>,
    }

    /// Where a thread may run; none if there are more cores than the set holds.
    pub(super) fn allowed(thread: pid_t) -> Option<cpu_set_t> {
        // SAFETY: the call fills a set of this size; all zeros are an empty one.
        unsafe {
            let mut set: cpu_set_t = std::mem::zeroed();
            (libc::sched_getaffinity(thread, size_of::<cpu_set_t>(), &raw mut set) == 0).then_some(set)
        }
    }

    /// Lets a thread run on these cores; whether the system took it.
    fn allow(thread: pid_t, set: &cpu_set_t) -> bool {
        // SAFETY: the call reads a set of this size.
        unsafe { libc::sched_setaffinity(thread, size_of::<cpu_set_t>(), set) == 0 }
    }

    /// The core of this thread; -1 where it is not known.
    fn here() -> c_int {
        // SAFETY: the call has no conditions.
        unsafe { libc::sched_getcpu() }
    }

    impl Place {
        /// This thread, a helper, goes to sleep.
        pub fn leave(&mut self) {
            // SAFETY: the call has no conditions. (Old C libraries have no function for it.)
            let thread = unsafe { libc::syscall(libc::SYS_gettid) } as pid_t;
            self.asleep = Some((thread, here()));
        }

        /// It has woken up, and may run where it might before.
        pub fn come_back(&mut self) {
            self.asleep = None;
            if let Some(set) = self.before.take() {
                allow(0, &set);
            }
        }
    }

    /// Keeps helpers that sleep from waking up where this thread runs.
    pub fn make_way(places: &mut [Place]) {
        let (core, few) = (here(), places.len() <= FEW);
        if core < 0 {
            return;
        }
        for place in places.iter_mut().filter(|place| place.before.is_none()) {
            let Some((thread, _)) = place.asleep.filter(|&(_, at)| few || at == core) else { continue };
            let Some(set) = allowed(thread) else { continue };
            let mut others = set;
            // SAFETY: the core is asked for only if the set holds it.
            let is_other = unsafe {
                let within = (core as usize) < 8 * size_of::<cpu_set_t>() && CPU_ISSET(core as usize, &others);
                if within {
                    CPU_CLR(core as usize, &mut others);
                }
                within && CPU_COUNT(&others) > 0
            };
            if is_other && allow(thread, &others) {
                place.before = Some(set);
            }
        }
    }
}

#[cfg(target_os = "linux")]
pub use linux::{Place, make_way};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    /// Nothing is known of cores here.
    #[derive(Default)]
    pub struct Place;

    impl Place {
        /// Nothing to note.
        pub fn leave(&mut self) {}

        /// Nothing to undo.
        pub fn come_back(&mut self) {}
    }

    /// Nothing can be done.
    pub fn make_way(_places: &mut [Place]) {}
}

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Place, make_way};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::linux::allowed;
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_helper_wakes_up_off_the_callers_core_and_may_run_everywhere_again() {
        let (to_main, from_helper) = channel();
        let (to_helper, from_main) = channel::<Place>();
        let helper = std::thread::spawn(move || {
            let mut place = Place::default();
            place.leave();
            to_main.send(place).unwrap();
            from_main.recv().unwrap().come_back();
            allowed(0).unwrap()
        });
        let mut places = [from_helper.recv().unwrap()];
        let before = allowed(0).unwrap();
        let (thread, _) = places[0].asleep.unwrap();
        make_way(&mut places);
        let during = allowed(thread).unwrap();
        // SAFETY: the sets are whole.
        let (many, fewer) = unsafe { (libc::CPU_COUNT(&before), libc::CPU_COUNT(&during)) };
        assert_eq!(fewer, if many > 1 { many - 1 } else { 1 });
        let [place] = places;
        to_helper.send(place).unwrap();
        let after = helper.join().unwrap();
        // SAFETY: as above.
        assert!(unsafe { libc::CPU_EQUAL(&after, &before) });
    }
}
