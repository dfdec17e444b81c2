package underlay

// LinkStats counts the frames that came in at From for To since the switch was made. A flooded
// frame counts on every link that it takes.
type LinkStats struct {
	From, To string
	// Frames and Bytes were delivered.
	Frames, Bytes uint64
	// Cut were dropped by Cut, MTU or Translate, and Lost by Loss; Full because To was not connected
	// or did not take them in time.
	Cut, Lost, Full uint64
}

// Stats returns the counters of every ordered pair of ports, in the order in which the ports were
// made.
func (s *Switch) Stats() []LinkStats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var stats []LinkStats
	for _, port := range s.ports {
		for _, l := range port.links {
			if l != nil {
				stats = append(stats, l.stats())
			}
		}
	}
	return stats
}

func (l *link) stats() LinkStats {
	return LinkStats{
		From: l.from.name, To: l.to.name,
		Frames: l.frames.Load(), Bytes: l.bytes.Load(),
		Cut: l.dropCut.Load(), Lost: l.dropLoss.Load(), Full: l.dropFull.Load(),
	}
}
