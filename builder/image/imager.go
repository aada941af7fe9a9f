package image

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"time"

	"imgbuild/init/contract/atomicfile"
)

// imagerSuffix is the ending that Raspberry Pi Imager opens as a list of images of one's own.
const imagerSuffix = ".rpi-imager-manifest"

// imagerList is such a list (rpi-imager, doc/json-schema/os-list-schema.json and
// doc/schema-notes.md). Without it version 2 writes an image of one's own as it is: it cannot know
// that the image takes cloud-init's files.
type imagerList struct {
	Imager struct {
		Devices []imagerDevice `json:"devices"`
	} `json:"imager"`
	OSList []imagerOS `json:"os_list"`
}

// imagerDevice is a board to choose.
type imagerDevice struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Icon        string   `json:"icon"`
	Tags        []string `json:"tags"`
	Default     bool     `json:"default"`
	Matching    string   `json:"matching_type"`
}

// imagerOS is an image to choose; all fields are asked for by the schema.
type imagerOS struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Icon        string   `json:"icon"`
	URL         string   `json:"url"`          // file:// and the absolute path
	Size        int64    `json:"extract_size"` // bytes, unpacked
	SHA256      string   `json:"extract_sha256"`
	Packed      int64    `json:"image_download_size"`
	Date        string   `json:"release_date"`
	InitFormat  string   `json:"init_format"`
	Devices     []string `json:"devices"`
}

// writeImager writes the list next to the image, for boards that Imager knows. It names the place
// of the image and is not a part of what is published elsewhere: a copy in another directory needs
// its url changed.
func (b *build) writeImager() error {
	tags := b.Recipe.Board.Imager
	if len(tags) == 0 {
		return nil
	}
	file := filepath.Join(b.Out, b.result.Name)
	packed, err := filepath.Abs(file + ".img.zst")
	if err != nil {
		return err
	}
	var l imagerList
	l.Imager.Devices = []imagerDevice{{Name: b.Recipe.Board.Title, Description: "as imgbuild knows it", Tags: tags, Default: true, Matching: "inclusive"}}
	l.OSList = []imagerOS{{
		Name: "ShelfOS " + b.Recipe.Role.Name + " for " + b.Recipe.Board.Name, Description: b.Recipe.Role.Title + ", version " + b.result.Version,
		URL:  (&url.URL{Scheme: "file", Path: filepath.ToSlash(packed)}).String(),
		Size: b.result.Size, SHA256: b.imageSum, Packed: b.result.Packed,
		Date: time.Unix(b.result.Manifest.Date, 0).UTC().Format(time.DateOnly), InitFormat: "cloudinit", Devices: tags,
	}}
	data, err := json.MarshalIndent(l, "", "\t")
	if err != nil {
		return err
	}
	b.result.Files = append(b.result.Files, file+imagerSuffix)
	return atomicfile.Write(file+imagerSuffix, append(data, '\n'), 0o644)
}
