package config

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// noNeed are keys of cloud-init that ask for what a node does anyway, or for what a server without
// a screen can do without. They are passed over with a note.
var noNeed = []string{"manage_etc_hosts", "manage_resolv_conf", "preserve_hostname", "enable_ssh", "disable_root", "apt", "keyboard",
	"locale", "growpart", "resize_rootfs", "final_message", "package_update", "package_upgrade", "package_reboot_if_required",
	"ssh_deletekeys", "ssh_genkeytypes", "ssh_quiet_keygen", "no_ssh_fingerprints", "datasource_list", "datasource", "system_info", "output",
	"cloud_init_modules", "cloud_config_modules", "cloud_final_modules", "create_hostname_file", "prefer_fqdn_over_hostname", "groups", "byobu_by_default", "merge_how"}

// notHere are keys of cloud-init that ask for something that will not happen, and what to do
// instead.
var notHere = [][2]string{
	{"packages", "the system is read-only; put the program into a container, or a static one into /usr/local with write_files"},
	{"snap", "the system is read-only; run containers"},
	{"mounts", "use data.device for another disk"},
	{"disk_setup", "prepare the disk on another machine"},
	{"fs_setup", "prepare the disk on another machine"},
	{"rpi", "set it in config.txt on the boot partition"},
	{"ssh_keys", "remove it; the node makes its own host keys"},
	{"ca_certs", "put the certificate into /usr/local/share with write_files"},
	{"power_state", "use shelf reboot"},
	{"phone_home", "use run_cmd"},
	{"yum_repos", "remove it"},
	{"vendor_data", "remove it"},
}

// foreignCommands are programs of other systems that user-data of Raspberry Pi OS and Ubuntu calls.
// The node itself does their work, or it cannot be done.
var foreignCommands = []string{"systemctl", "loginctl", "localectl", "timedatectl", "hostnamectl", "rfkill", "setupcon", "raspi-config", "netplan",
	"apt", "apt-get", "dpkg-reconfigure", "update-rc.d", "service", "snap", "usermod", "useradd", "adduser", "passwd", "chpasswd"}

// userData reads cloud-init's user-data: every key of ours, and those of cloud-init that mean the
// same.
func (t *translator) userData(n *yaml.Node) {
	var later []pair
	for _, p := range t.pairs(n, "") {
		if resolved := resolve(p.value); fold(p.key.Value) == "network" && (child(resolved, "version") != nil || child(resolved, "ethernets") != nil || child(resolved, "wifis") != nil) {
			t.network(resolved)
			continue
		}
		switch fold(p.key.Value) {
		case "users", "user", "password", "chpasswd", "sshimportid", "fqdn", "localhostname", "timezone", "ntp", "sshpwauth":
			later = append(later, p) // what is written in our own keys comes first
		case "runcmd":
			if p.key.Value == "runcmd" {
				t.put("run_cmd", p.key, t.commands(p.value, "run_cmd"))
				continue
			}
			t.out.Content = append(t.out.Content, p.key, p.value)
		case "writefiles":
			t.out.Content = append(t.out.Content, p.key, t.files(p.value))
		case "bootcmd":
			t.put("boot_cmd", p.key, t.commands(p.value, "boot_cmd"))
		default:
			t.other(p)
		}
	}
	var password *yaml.Node // of the users: what is under password and chpasswd comes before it, as in cloud-init
	for _, p := range later {
		if f := fold(p.key.Value); f == "users" || f == "user" {
			if one := t.users(p); password == nil {
				password = one
			}
		}
	}
	for _, p := range later {
		switch name := fold(p.key.Value); name {
		case "password":
			t.put("k3os.password", p.key, p.value)
		case "chpasswd":
			t.chpasswd(p)
		case "sshimportid":
			t.extend("ssh_authorized_keys", p.key, t.importIDs(p.value, p.key.Value)...)
		case "fqdn", "localhostname":
			t.put("hostname", p.key, p.value)
		case "timezone":
			t.put("time.zone", p.key, p.value)
		case "ntp":
			pairs := t.pairs(p.value, "ntp")
			for _, q := range pairs {
				if on, known := truth(q.value); fold(q.key.Value) == "enabled" && known && !on {
					pairs = nil
				}
			}
			for _, q := range pairs {
				if f := fold(q.key.Value); f == "servers" || f == "pools" {
					t.extend("time.servers", q.key, list1(q.value)...)
				}
			}
		case "sshpwauth":
			if isTrue(p.value) {
				t.report(Warning, p.key, p.key.Value, "put a line of ~/.ssh/id_ed25519.pub under ssh_authorized_keys", "sshd takes keys only; a password is for the console")
			}
		}
	}
	if password != nil {
		t.put("k3os.password", password, password)
	}
}

// files gives cloud-init's write_files without what has no effect here.
func (t *translator) files(n *yaml.Node) *yaml.Node {
	n = resolve(n)
	if n.Kind != yaml.SequenceNode {
		return n
	}
	out := *n
	out.Content = nil
	for i, item := range list1(n) {
		at := -1
		for j := 0; item.Kind == yaml.MappingNode && j+1 < len(item.Content); j += 2 {
			if item.Content[j].Value == "defer" {
				at = j
				t.report(Note, item.Content[j], index("write_files", i)+".defer", "", "a key of cloud-init that has no effect here")
			}
		}
		if at >= 0 {
			one := *item
			one.Content = slices.Concat(item.Content[:at], item.Content[at+2:])
			item = &one
		}
		out.Content = append(out.Content, item)
	}
	return &out
}

// other passes a key on that is ours or nobody's, and reports what becomes of those of cloud-init.
func (t *translator) other(p pair) {
	f := fold(p.key.Value)
	for _, name := range noNeed {
		if f == fold(name) {
			t.report(Note, p.key, p.key.Value, "", "a key of cloud-init that has no effect here")
			return
		}
	}
	if f == "swap" {
		if size := child(resolve(p.value), "size"); size == nil || size.Value != "0" {
			t.report(Error, p.key, p.key.Value, useZram, "%s", noSwap)
		}
		return
	}
	for _, k := range notHere {
		if f == fold(k[0]) {
			t.report(Warning, p.key, p.key.Value, k[1], "a key of cloud-init that has no effect here")
			return
		}
	}
	t.out.Content = append(t.out.Content, p.key, p.value)
}

// user is an entry of cloud-init's users.
type user struct {
	name         string
	keys, names  []*yaml.Node // ssh keys; the names of the keys that hold them
	password     *yaml.Node
	locked       bool // the password is not used
	sudo, denied bool // it may do everything; the rule forbids it
}

// users assigns the keys and the password of cloud-init's users to the one login of a node. That
// one may do everything, so that only a user who may do so too brings anything: by a rule of sudo
// for all commands or by a group, or the first one if nothing is given about it and there is no
// other login. The key sudo counts before the groups. It returns the password of the login, or nil.
func (t *translator) users(p pair) (password *yaml.Node) {
	first, isDefault := true, false
	for i, n := range list1(p.value) {
		path := index("users", i)
		if n.Kind == yaml.ScalarNode {
			isDefault = isDefault || n.Value == "default"
			if n.Value != "default" && n.Value != "root" {
				t.report(Note, n, path, "", "this node has one login, rancher")
			}
			continue
		}
		u := t.user(n, path)
		other := isDefault && u.name != "rancher" && child(t.out, "ssh_authorized_keys") != nil
		if u.name == "root" || u.denied || !u.sudo && (!first || other) {
			t.others = append(t.others, u.name)
			t.report(Warning, n, path, "write the keys of administrators under ssh_authorized_keys", "this node has one login, rancher, which may do everything; %s has no sudo and is left out", quote(u.name))
			continue
		}
		if u.name != "rancher" && u.name != "" {
			t.report(Warning, n, path, "log in with ssh rancher@NODE", "this node has one login, rancher; it gets the keys and password of %s", quote(u.name))
		}
		if len(u.names) > 0 {
			t.extend("ssh_authorized_keys", u.names[0], u.keys...)
		}
		if u.password != nil && !u.locked && first {
			password = u.password
		}
		first = false
	}
	return password
}

// user reads one entry of users.
func (t *translator) user(n *yaml.Node, path string) user {
	u, redirected := user{locked: true}, false
	for _, q := range t.pairs(n, path) {
		here := join(path, q.key.Value)
		switch fold(q.key.Value) {
		case "name":
			u.name = q.value.Value
		case "sshauthorizedkeys":
			u.keys, u.names = append(u.keys, list1(q.value)...), append(u.names, q.key)
		case "sshimportid":
			u.keys, u.names = append(u.keys, t.importIDs(q.value, here)...), append(u.names, q.key)
		case "passwd", "hashedpasswd", "plaintextpasswd":
			t.d.secret(q.value, "k3os.password")
			u.password = q.value
		case "lockpasswd":
			locked, known := truth(q.value)
			u.locked = locked || !known
			if !known {
				t.report(Warning, q.value, here, "write true or false", "this is neither true nor false; the password stays locked")
			}
		case "sudo":
			sudo, known := sudoer(q.value)
			u.sudo, u.denied = u.sudo || sudo, !sudo
			if !known {
				t.report(Warning, q.value, here, "write ALL=(ALL) NOPASSWD:ALL for an administrator", "this is not a rule for all commands; it is read as no sudo")
			}
		case "groups":
			for _, g := range list1(q.value) {
				for _, name := range strings.FieldsFunc(g.Value, func(r rune) bool { return r == ',' || r == ' ' }) {
					u.sudo = u.sudo || contains(adminGroups, name)
				}
			}
		case "sshredirectuser":
			on, known := truth(q.value)
			redirected = redirected || on || !known
		case "expiredate", "inactive", "doas", "snapuser":
			t.report(Warning, q.key, here, "remove it", "this is not done here; it is ignored")
		default:
			if !contains(userIdle, fold(q.key.Value)) {
				t.report(Warning, q.key, here, "correct the name, or remove it", "there is no such key in this place; it is ignored")
			}
		}
	}
	if redirected { // its keys are shown the name of another user, and let nobody in
		t.report(Warning, n, join(path, "ssh_redirect_user"), "remove ssh_redirect_user", "the keys of this user are for somebody else's login; they are left out")
		u.keys, u.names = nil, nil
	}
	return u
}

// userIdle are keys of a user that change nothing on a node with one login, folded.
var userIdle = []string{"gecos", "homedir", "shell", "uid", "primarygroup", "nocreatehome", "nousergroup", "nologinit", "creategroups", "system", "selinuxuser", "user"}

// adminGroups are the groups whose members may do everything on Debian, Ubuntu and Fedora.
var adminGroups = []string{"sudo", "admin", "wheel"}

// sudoRule is a rule of sudoers(5) for all commands, after the user.
var sudoRule = pattern{text: `^ALL\s*=\s*(?:\(\s*(?:ALL|root)\s*(?::\s*ALL\s*)?\)\s*)?(?:(?:NO)?(?:PASSWD|SETENV|EXEC|LOG_INPUT|LOG_OUTPUT|MAIL|FOLLOW)\s*:\s*)*ALL$`}

// sudoer reads cloud-init's sudo: a rule, a list of them, or a form of false. known is false for
// what is neither; that grants nothing.
func sudoer(n *yaml.Node) (all, known bool) {
	known = true
	for _, rule := range list1(n) {
		if rule.Kind == yaml.ScalarNode && sudoRule.MatchString(strings.TrimSpace(rule.Value)) {
			return true, true
		}
		no, isTruth := truth(rule)
		known = known && (isTruth && !no || rule.Kind == yaml.ScalarNode && strings.TrimSpace(rule.Value) == "")
	}
	return false, known
}

// importIDs turns gh:USER and lp:USER, and USER alone as ssh-import-id reads it, into places of
// keys.
func (t *translator) importIDs(n *yaml.Node, path string) []*yaml.Node {
	var out []*yaml.Node
	for i, item := range list1(n) {
		where, user, ok := strings.Cut(item.Value, ":")
		if !ok {
			where, user = "lp", item.Value
		}
		switch {
		case item.Kind != yaml.ScalarNode || user == "" || where != "gh" && where != "lp":
			t.report(Error, item, index(path, i), "write gh:USER or lp:USER", "this names no account; it is left out")
		case where == "gh":
			out = append(out, word("github:"+user, item))
		default:
			out = append(out, word("launchpad:"+user, item))
		}
	}
	return out
}

// chpasswd takes the password of the first user in it who is the login of this node: neither root
// nor one who was left out.
func (t *translator) chpasswd(p pair) {
	for _, q := range t.pairs(p.value, "chpasswd") {
		switch fold(q.key.Value) {
		case "users":
			for i, u := range list1(q.value) {
				v := child(u, "password")
				if v == nil {
					continue
				}
				t.d.secret(resolve(v), "k3os.password")
				name := ""
				if n := child(u, "name"); n != nil {
					name = resolve(n).Value
				}
				if name == "root" || contains(t.others, name) {
					t.report(Warning, u, index("chpasswd.users", i), "use k3os.password for the console's login, rancher", "%s has no login on this node; the password is left out", quote(name))
					continue
				}
				t.put("k3os.password", q.key, resolve(v))
			}
		case "expire":
			if isTrue(q.value) {
				t.report(Note, q.key, "chpasswd.expire", "", "a password does not expire on this node")
			}
		case "list":
			t.d.secret(q.value, "chpasswd.list")
			t.report(Warning, q.key, "chpasswd.list", "use k3os.password", "this form is not read")
		}
	}
}

// commands returns cloud-init's runcmd as run_cmd: an item may be a list of words, and one that
// fails does not stop the next.
func (t *translator) commands(n *yaml.Node, path string) *yaml.Node {
	out := &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column}
	for i, item := range list1(n) {
		text := item.Value
		if item.Kind == yaml.SequenceNode {
			var words []string
			for _, w := range list1(item) {
				words = append(words, shellQuote(w.Value))
			}
			text = strings.Join(words, " ")
		} else if item.Kind != yaml.ScalarNode {
			t.report(Error, item, index(path, i), "write the command as one text in quotes", "this must be a command, not %s; it is left out", describe(item))
			continue
		}
		command, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(text, "sudo ")), " ")
		command = strings.Trim(command[strings.LastIndexByte(command, '/')+1:], "'")
		// Of several lines the others are still wanted; the one that calls what is not there fails
		// and costs nothing.
		foreign := contains(foreignCommands, command) || contains(absent, command)
		if !foreign && (strings.Contains(text, "/systemd/") || strings.Contains(text, "systemctl ")) {
			foreign, command = true, "systemd"
		}
		if several := strings.Contains(strings.TrimSpace(text), "\n"); foreign && several {
			t.report(Note, item, index(path, i), "", "this system has no %s; that line of the command fails, and the others are run", command)
		} else if foreign {
			t.report(Note, item, index(path, i), "", "this system has no %s; the command is left out", command)
			continue
		}
		if strings.TrimSpace(text) != "" {
			out.Content = append(out.Content, word("(\n"+text+"\n) || echo \"it failed with status $?, and the next one goes on\"", item))
		}
	}
	return out
}

// shellQuote makes one word of a text for sh.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// metaData reads the identity of the machine.
func (t *translator) metaData(n *yaml.Node) {
	for _, p := range t.pairs(n, "") {
		switch fold(p.key.Value) {
		case "localhostname", "hostname":
			t.put("hostname", p.key, p.value)
		case "publickeys", "sshauthorizedkeys":
			keys := list1(p.value)
			if p.value.Kind == yaml.MappingNode {
				keys = nil
				for _, q := range t.pairs(p.value, p.key.Value) {
					keys = append(keys, list1(q.value)...)
				}
			}
			t.extend("ssh_authorized_keys", p.key, keys...)
		}
	}
}
