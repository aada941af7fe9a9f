package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"

	"imgbuild/builder/cluster"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

var secretsVerb = line.Verb{
	Name:     "secrets",
	Operands: "[edit]",
	Words:    "edit",
	Summary:  "Print cluster.secrets.yaml in clear. edit: change it with $EDITOR; it is encrypted again as it was.",
	Examples: []string{"imgbuild secrets", "imgbuild secrets edit"},
	Run:      doSecrets,
}

func doSecrets(ctx context.Context, a *line.Args) error {
	if len(a.Operands) > 1 || len(a.Operands) == 1 && a.Operands[0] != "edit" {
		return line.NotKnown("operand", a.Operands[len(a.Operands)-1], []string{"edit"})
	}
	s, err := secretsOf(cluster.File, clusterWord(cluster.SecretsFile))
	switch {
	case err != nil:
		return err
	case s == nil:
		return fault.New(fault.Input, "make it with `imgbuild new cluster`", "there is no %s here", cluster.SecretsFile)
	case s.Sealed():
		return fault.New(fault.Usage, "set "+passphraseEnv, "%s is encrypted, and there is nobody to ask for its passphrase", s.File)
	case len(a.Operands) == 0:
		_, err := os.Stdout.Write(s.Clear())
		return err
	}
	text, err := cluster.Edit(ctx, cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR")), s.Clear())
	if err != nil {
		return err
	}
	if bytes.Equal(text, s.Clear()) {
		fmt.Println("nothing was changed")
		return nil
	}
	if err := s.Replace(text); err != nil {
		return err
	}
	return s.Write()
}
