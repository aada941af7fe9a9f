package status

// Clean passes every sentence of a status through a function that takes secrets out.
func (s *Status) Clean(clean func(string) string) {
	lines := func(list []string) []string {
		var out []string
		for _, l := range list {
			out = append(out, clean(l))
		}
		return out
	}
	for i := range s.Services {
		s.Services[i].Detail = clean(s.Services[i].Detail)
	}
	for i := range s.Checks {
		s.Checks[i].Why = lines(s.Checks[i].Why)
	}
	if s.Upgrade != nil {
		s.Upgrade.Reason = clean(s.Upgrade.Reason)
	}
	if s.Auto != nil {
		s.Auto.Text, s.Auto.Failed = clean(s.Auto.Text), clean(s.Auto.Failed)
	}
	s.LastEnd, s.Clock.Why, s.Why = clean(s.LastEnd), clean(s.Clock.Why), lines(s.Why)
}
