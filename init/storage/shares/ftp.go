package shares

import (
	"fmt"
	"strings"

	"imgbuild/init/contract/config"
)

// The paths of vsftpd's files.
const (
	FTPDir   = "/run/shelf/storage/ftp" // a directory for each user, with the shares of that user
	FTPUsers = "/run/shelf/storage/vsftpd.users"
	FTPEmpty = "/run/shelf/storage/empty"
	FTPCert  = "/run/shelf/storage/ftp.pem" // certificate and key
)

// FTP is vsftpd.conf.
func (p Plan) FTP() string {
	first, last, ok := p.Settings.FTP.FTPPorts()
	if !ok {
		first, last, _ = config.Default().Storage.FTP.FTPPorts()
	}
	lines := []string{
		"listen=YES", "background=NO", "anonymous_enable=NO", "local_enable=YES", "write_enable=YES", "chroot_local_user=YES",
		"local_root=" + FTPDir + "/$USER", "user_sub_token=$USER", "secure_chroot_dir=" + FTPEmpty, "pam_service_name=vsftpd",
		"userlist_enable=YES", "userlist_deny=NO", "userlist_file=" + FTPUsers, "check_shell=NO", "session_support=NO",
		fmt.Sprintf("pasv_min_port=%d", first), fmt.Sprintf("pasv_max_port=%d", last), "local_umask=002", "file_open_mode=0666",
		"use_localtime=YES", "xferlog_enable=NO", "max_clients=64", "max_per_ip=32", "ftpd_banner=ready", "tcp_wrappers=NO",
	}
	if tls := p.Settings.FTP.TLS; tls == "off" {
		lines = append(lines, "ssl_enable=NO")
	} else {
		force := map[bool]string{true: "YES", false: "NO"}[tls != "optional"]
		lines = append(lines, "ssl_enable=YES", "rsa_cert_file="+FTPCert, "rsa_private_key_file="+FTPCert, "force_local_logins_ssl="+force, "force_local_data_ssl="+force,
			"ssl_tlsv1=NO", "ssl_tlsv11=NO", "ssl_tlsv12=YES", "ssl_tlsv13=NO", // with 1.3 older curls cut uploads short
			"ssl_ciphers=HIGH", "require_ssl_reuse=NO")
	}
	return "# Written by shelf; what is changed here does not last.\n" + strings.Join(lines, "\n") + "\n"
}

// FTPNames is the list of who may log in to vsftpd.
func (p Plan) FTPNames() string {
	var b strings.Builder
	for _, u := range p.Users {
		if u.Crypt != "" {
			b.WriteString(u.Name + "\n")
		}
	}
	return b.String() + Probe + "\n"
}

// Bind is a share in the directory of an FTP user.
type Bind struct {
	From, To string
	Write    bool
}

// Binds are all of them, in a fixed order.
func (p Plan) Binds(m Mounts) []Bind {
	var list []Bind
	for _, u := range p.Users {
		for _, s := range p.Shares {
			dir, ok := m.Path(s)
			if write, may := p.Of(s)[u.Name]; ok && may && u.Crypt != "" && s.By("ftp") {
				list = append(list, Bind{dir, FTPDir + "/" + u.Name + "/" + s.Name, write})
			}
		}
	}
	return list
}
