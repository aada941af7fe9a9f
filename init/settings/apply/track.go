package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// Where it is noted which files write_files made: next to what lasts, and next to what a boot
// empties.
const (
	trackLasting  = "/var/lib/shelf/files"
	trackVolatile = "/run/shelf/files"
)

// Track remembers what the configuration changed, so that a key that is taken out loses its effect:
// kernel settings and the environment get their old values back, files that write_files made
// disappear. One goroutine uses it at a time, except for the kernel settings.
type Track struct {
	mu          sync.Mutex        // guards sysctls: interfaces appear at any time
	sysctls     map[string]string // path below /proc/sys -> value before ours
	environment *string           // /etc/environment before ours
}

// written is what is known of a file of write_files.
type written struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // of the content as it was written; a file that was changed since belongs to the user
	// What was there before: it is under the same name as the note, with .before appended.
	Before *before `json:"before,omitempty"`
}

type before struct {
	Mode fs.FileMode `json:"mode"`
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
}

// noteDir returns the directory of the note about a path: /etc, /run, /tmp and /dev begin again at
// every boot, and the notes about them with them.
func noteDir(path string) string {
	for _, dir := range []string{"/etc/", "/run/", "/tmp/", "/dev/"} {
		if strings.HasPrefix(path, dir) && !strings.HasPrefix(path, "/etc/rancher/") {
			return trackVolatile
		}
	}
	return trackLasting
}

func (m Machine) note(path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(m.path(noteDir(path)), hex.EncodeToString(sum[:8]))
}

func hashOf(data []byte) string { sum := sha256.Sum256(data); return hex.EncodeToString(sum[:]) }

// remember notes that path is about to get this content. A file there that is not ours is saved
// first.
func (m Machine) remember(path string, data []byte) error {
	note := m.note(path)
	w := written{Path: path, SHA256: hashOf(data)}
	now, readErr := os.ReadFile(m.path(path))
	if old, ok := readNote(note); ok && readErr == nil && (hashOf(now) == old.SHA256 || hashOf(now) == w.SHA256) {
		if old.SHA256 == w.SHA256 {
			return nil
		}
		w.Before = old.Before
	} else if readErr == nil && (hashOf(now) != w.SHA256 || noteDir(path) == trackVolatile) {
		st, err := os.Stat(m.path(path))
		if err != nil {
			return err
		}
		uid, gid := owner(st)
		w.Before = &before{st.Mode(), uid, gid}
	}
	if err := os.MkdirAll(filepath.Dir(note), 0o700); err != nil {
		return err
	}
	if w.Before != nil {
		if _, err := os.Stat(note + ".before"); errors.Is(err, fs.ErrNotExist) {
			if err := atomicfile.Write(note+".before", now, 0o600); err != nil {
				return err
			}
		}
	}
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	return atomicfile.Write(note, append(text, '\n'), 0o600)
}

func readNote(note string) (w written, ok bool) {
	data, err := os.ReadFile(note)
	if err != nil || json.Unmarshal(data, &w) != nil || !filepath.IsAbs(w.Path) {
		return written{}, false
	}
	return w, true
}

// dropFiles takes back the files that write_files made and no longer names. One that was changed
// since stays, and that is reported.
func (m Machine) dropFiles(named map[string]bool) error {
	var notes []string
	for _, dir := range []string{trackLasting, trackVolatile} {
		entries, err := os.ReadDir(m.path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if filepath.Ext(e.Name()) == "" {
				notes = append(notes, filepath.Join(m.path(dir), e.Name()))
			}
		}
	}
	sort.Strings(notes)
	var errs []error
	for _, note := range notes {
		w, ok := readNote(note)
		if ok && named[w.Path] {
			continue
		}
		if ok {
			if err := m.takeBack(w, note); err != nil {
				errs = append(errs, fault.Wrap(err, fault.Device, "remove it yourself", "write_files no longer names %s, but it cannot be taken back", w.Path))
				continue
			}
		}
		errs = append(errs, remove(note+".before"), remove(note))
	}
	return errors.Join(errs...)
}

// takeBack removes a file, or puts back what was there before.
func (m Machine) takeBack(w written, note string) error {
	path := m.path(w.Path)
	now, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if hashOf(now) != w.SHA256 {
		return nil // it was changed since, so it belongs to the user
	}
	if w.Before != nil {
		old, err := os.ReadFile(note + ".before")
		if err != nil {
			return err
		}
		return atomicfile.WriteAs(path, old, w.Before.Mode, w.Before.UID, w.Before.GID)
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dropSysctls sets the settings that are no longer named to the value that they had.
func (m Machine) dropSysctls(named map[string]bool) error {
	var errs []error
	m.Track.mu.Lock()
	defer m.Track.mu.Unlock()
	for path, value := range m.Track.sysctls {
		if !named[path] {
			if err := setting(path, value); !errors.Is(err, fs.ErrNotExist) { // it went with its interface
				errs = append(errs, err)
			}
			delete(m.Track.sysctls, path)
		}
	}
	return errors.Join(errs...)
}
